"""FMix: the area is the drawn share to a pixel, the spectrum falls as the decay says."""

import numpy as np
import pytest
import torch
from scipy import stats

from mixlab.mixing import Blend, FMix
from mixlab.mixing.masks import painted
from mixlab.mixing.methods.fmix import fourier_noise, highest, matters

PARTNERS = np.arange(64)[::-1].copy()


def _blend(method: FMix, height: int, width: int, seed: int = 3) -> Blend:
    images = torch.zeros(64, 1, height, width)
    return method(images, torch.eye(64), np.random.default_rng(seed), PARTNERS)


def _partner_masks(blend: Blend) -> np.ndarray:
    return painted(blend.mask)[:, 1].double().numpy()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (17, 40), (1, 9)])
def test_the_area_is_the_drawn_share_to_a_pixel(height: int, width: int) -> None:
    blend = _blend(FMix(0.7), height, width)
    own = np.random.default_rng(3).beta(0.7, 0.7, size=64)
    masks, pixels = _partner_masks(blend), height * width
    assert set(np.unique(masks)) <= {0.0, 1.0}
    counts = masks.sum((1, 2))
    assert abs(counts - (1 - own) * pixels).max() <= 0.5
    np.testing.assert_allclose(blend.share[:, 1] * pixels, counts, atol=1e-3)


@pytest.mark.parametrize("decay", [1.0, 2.0, 3.0])
@pytest.mark.parametrize(("height", "width"), [(48, 48), (32, 60)])
def test_power_falls_with_frequency_as_the_decay_says(
    decay: float, height: int, width: int
) -> None:
    noise = fourier_noise(600, height, width, decay, np.random.default_rng(0)).astype(float)
    power = (abs(np.fft.rfft2(noise)) ** 2).mean(0)
    rows, columns = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    inner = (columns > 0) & (columns < 0.5)  # elsewhere a real picture has half of the power
    frequency = np.hypot(rows, columns)[inner]
    fit = stats.linregress(np.log(frequency), np.log(power[inner]))
    assert abs(fit.slope + 2 * decay) < 0.02
    residual = np.log(power[inner]) - fit.intercept - fit.slope * np.log(frequency)
    assert residual.std() < 0.06 and abs(residual).max() < 0.3  # in all directions alike


@pytest.mark.parametrize("decay", [0.5, 1.0, 1.001, 2.0, 3.0, 8.0])
@pytest.mark.parametrize(("height", "width"), [(224, 224), (32, 32), (97, 300)])
def test_frequencies_that_are_left_out_hold_a_millionth_of_the_variance(
    decay: float, height: int, width: int
) -> None:
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
    lowest = 1 / max(height, width)
    power = np.hypot(rows, columns).clip(lowest) ** (-2 * decay)
    drawn = matters(abs(rows), lowest, decay) & matters(abs(columns), lowest, decay)
    assert power[~drawn].sum() <= 1e-6 * power.sum()
    if decay == 3:  # the paper's
        assert drawn.mean() < 0.25 if height > 32 else drawn.all()


def test_large_noise_has_the_frequencies_that_matter_and_no_others() -> None:
    noise = fourier_noise(400, 160, 120, 3.0, np.random.default_rng(0)).astype(float)
    power = (abs(np.fft.rfft2(noise)) ** 2).mean(0)
    rows, columns = np.fft.fftfreq(160)[:, None], np.fft.rfftfreq(120)
    drawn = matters(abs(rows), 1 / 160, 3.0) & matters(columns, 1 / 160, 3.0)
    assert power[~drawn].max() < 1e-3 * power[drawn].min()
    inner = drawn & (columns > 0)
    expected = np.hypot(rows, columns)[inner] ** -6
    assert abs(np.log(power[inner] / expected / (power[inner] / expected).mean())).max() < 0.4


def test_the_mask_is_where_the_noise_is_highest() -> None:
    noise = np.random.default_rng(1).random((9, 11)).astype(np.float32)
    for count in (0, 1, 40, 98, 99):
        mask = highest(noise, count, 0.0)
        inside, outside = noise[mask == 1], noise[mask == 0]
        assert len(inside) == count and len(inside) + len(outside) == noise.size
        assert count in (0, 99) or inside.min() > outside.max()


def test_equal_noise_does_not_change_the_area() -> None:
    assert highest(np.zeros((8, 8), dtype=np.float32), 23, 0.0).sum() == 23


@pytest.mark.parametrize("count", [0, 3, 30, 60, 99])
def test_a_soft_edge_keeps_the_area_and_follows_the_noise(count: int) -> None:
    noise = np.random.default_rng(1).random((9, 11)).astype(np.float32)
    mask = highest(noise, count, 0.2)
    assert abs(mask.sum() - count) < 1e-4 and mask.min() >= 0 and mask.max() <= 1
    assert (np.diff(mask.ravel()[noise.ravel().argsort()]) >= 0).all()
    soft = 2 * min(19, count, 99 - count)  # but for the ends of the ramp, which are 0 and 1
    assert ((mask > 0) & (mask < 1)).sum() == max(0, soft - 2)


def test_one_mask_for_the_batch() -> None:
    blend = _blend(FMix(1.0, per_row=False), 12, 12)
    assert _partner_masks(blend).shape == (1, 12, 12) and blend.share.shape == (1, 2)
