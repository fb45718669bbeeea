"""SmoothMix and GMix: the mask is a Gaussian of the right width, of the right row."""

import numpy as np
import pytest
import torch
from scipy import stats

from mixlab.mixing import Blend, GMix, SmoothMix
from mixlab.mixing.masks import painted

ROWS, SIZE = 500, (24, 30)
IMAGES = torch.zeros(ROWS, 1, 1, 1).expand(-1, -1, *SIZE)


def _blend(method: SmoothMix | GMix) -> Blend:
    return method(IMAGES, torch.zeros(ROWS, 2), np.random.default_rng(5), np.arange(ROWS))


def _masks(blend: Blend, source: int) -> np.ndarray:
    return painted(blend.mask)[:, source].double().numpy()


def _sigmas(spots: np.ndarray, axis: int) -> np.ndarray:
    """(ROWS,): of -(p - c)^2 / (2 s^2) the second difference is -1 / s^2, at the spot itself."""
    center = np.array([np.unravel_index(spot.argmax(), SIZE) for spot in spots])
    middle = center.clip(1, np.array(SIZE) - 2)
    steps = np.eye(2, dtype=int)[axis]
    here = (np.arange(len(spots)), *middle.T)
    before, after = ((np.arange(len(spots)), *(middle + sign * steps).T) for sign in (-1, 1))
    log = np.log(spots.clip(1e-30))
    return (2 * log[here] - log[before] - log[after]) ** -0.5


def test_smoothmixs_spots_have_the_papers_widths() -> None:
    spots = _masks(_blend(SmoothMix()), 1)
    assert abs(spots.max((1, 2)) - 1).max() < 1e-6
    tall, wide = (_sigmas(spots, axis) / SIZE[axis] for axis in (0, 1))
    np.testing.assert_allclose(tall, wide, rtol=1e-2)
    assert tall.min() > 0.245 and tall.max() < 0.505
    assert abs(tall.mean() - 0.375) < 4 * tall.std() / np.sqrt(ROWS)


def test_smoothmixs_label_is_the_mean_of_its_mask() -> None:
    blend = _blend(SmoothMix())
    np.testing.assert_allclose(blend.share[:, 1], _masks(blend, 1).mean((1, 2)), atol=1e-6)
    assert abs(float(blend.share[:, 0].mean()) - 0.57) < 0.02  # as its docstring says


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_gmixs_spots_are_of_the_smaller_share_and_its_row(alpha: float) -> None:
    blend = _blend(GMix(alpha))
    own = np.random.default_rng(5).beta(alpha, alpha, size=ROWS)
    smaller = np.minimum(own, 1 - own)
    spots = np.where((own < 0.5)[:, None, None], _masks(blend, 0), _masks(blend, 1))
    assert abs(spots.max((1, 2)) - 1).max() < 1e-6
    wide = smaller > 0.05  # else the next pixel is too dark for 32 bits of 1 - mask
    for axis in (0, 1):
        expected = np.sqrt(smaller * SIZE[0] * SIZE[1] / (2 * np.pi))
        np.testing.assert_allclose(_sigmas(spots[wide], axis), expected[wide], rtol=1e-2)


def test_what_the_border_leaves_whole_has_the_area_of_the_share() -> None:
    blend = _blend(GMix(1.0))
    own = np.random.default_rng(5).beta(1.0, 1.0, size=ROWS)
    label = np.where(own < 0.5, blend.share[:, 0], blend.share[:, 1])
    smaller = np.minimum(own, 1 - own)
    assert (label <= smaller + 1.1 / np.prod(SIZE)).all()  # a spot fills its own pixel at least
    inner = (label > 0.98 * smaller) & (smaller > 0.01)
    assert inner.sum() > 20


def test_a_share_of_nothing_is_no_division_by_zero() -> None:
    blend = _blend(GMix(0.001))  # nearly all shares are 0 or 1 in 64 bits
    assert torch.isfinite(blend.share).all() and np.isfinite(_masks(blend, 0)).all()


@pytest.mark.parametrize("method", [SmoothMix(), GMix(1.0)])
def test_every_pixel_is_as_likely_the_center(method: SmoothMix | GMix) -> None:
    blend = _blend(method)
    spots = _masks(blend, 1)
    is_row = spots[:, 0, 0] + spots[:, -1, -1] > 1 if isinstance(method, GMix) else None
    spots = spots if is_row is None else np.where(is_row[:, None, None], 1 - spots, spots)
    center = np.array([np.unravel_index(spot.argmax(), SIZE) for spot in spots])
    for axis, side in enumerate(SIZE):
        counts = np.bincount(center[:, axis], minlength=side)
        assert stats.chisquare(counts).pvalue > 0.001 and len(counts) == side
    assert abs(stats.spearmanr(*center.T).statistic) < 0.2
