"""What is drawn has the distribution that the papers say."""

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from mixlab.mixing import Address, Boxes, CutMix, Cutout, Method, Mixup, MixupMany, OneOf, Policy
from mixlab.mixing.methods.published import PublishedCutMix

TARGETS = torch.eye(2)


def _shares(method: Method, num_batches: int) -> np.ndarray:
    images = torch.zeros(64, 1)
    policy = Policy()
    blends = [
        policy.draw(method, images, TARGETS, Address(0, 0, 0, batch))
        for batch in range(num_batches)
    ]
    own, *others = torch.cat([blend.share for blend in blends]).double().numpy().T
    # float32 has no numbers between 1 - 6e-8 and 1
    return np.where(own < 0.5, own, 1 - sum(others))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("per_row", [True, False])
def test_mixups_own_share_is_beta(alpha: float, per_row: bool) -> None:
    shares = _shares(Mixup(alpha, per_row), 300 if per_row else 3000)
    assert len(shares) == (300 * 64 if per_row else 3000)
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01


@pytest.mark.parametrize("alpha", [0.2, 1.0])
@pytest.mark.parametrize("sources", [2, 3, 5])
@pytest.mark.parametrize("per_row", [True, False])
def test_the_own_share_of_many_is_beta(alpha: float, sources: int, per_row: bool) -> None:
    shares = _shares(MixupMany(alpha, sources, per_row), 200 if per_row else 2000)
    expected = stats.beta(alpha, (sources - 1) * alpha)
    assert stats.kstest(shares, expected.cdf).pvalue > 0.01
    assert abs(shares.mean() - 1 / sources) < 4 * expected.std() / np.sqrt(len(shares))


def _boxes(method: CutMix | Cutout, height: int, width: int, num_boxes: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    images = torch.zeros(num_boxes, 1, 1, 1).expand(-1, -1, height, width)
    mask = method(images, TARGETS, rng).mask
    assert isinstance(mask, Boxes)
    return mask.edges.numpy()


def _area_fractions(edges: np.ndarray, height: int, width: int) -> np.ndarray:
    top, bottom, left, right = edges.T
    return (bottom - top) * (right - left) / (height * width)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40)])
@pytest.mark.parametrize("alpha", [0.25, 1.0])
def test_cutmix_boxes_are_torchvisions(alpha: float, height: int, width: int) -> None:
    ours = _boxes(CutMix(alpha), height, width, 20_000)
    oracle, picture = v2.CutMix(alpha=alpha, num_classes=2), torch.zeros(1, 1, height, width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        boxes = [oracle.make_params([picture])["box"] for _ in range(4000)]
    left, top, right, bottom = np.array(boxes).T
    theirs = np.stack([top, bottom, left, right], axis=1)
    areas = (_area_fractions(edges, height, width) for edges in (ours, theirs))
    assert stats.ks_2samp(*areas).pvalue > 0.01
    for edge in range(4):
        assert stats.ks_2samp(ours[:, edge], theirs[:, edge]).pvalue > 0.01


def test_the_mean_area_of_cutmix_is_that_of_clipped_squares() -> None:
    """A side r = sqrt(u) loses r^2 / 4 on average: E (r - r^2/4)^2 = 0.3208 at alpha 1."""
    areas = _area_fractions(_boxes(CutMix(1.0), 1000, 1400, 40_000), 1000, 1400)
    expected = 1 / 2 - 1 / 5 + 1 / 48
    assert abs(areas.mean() - expected) < 4 * areas.std() / np.sqrt(len(areas)) + 0.001


def test_every_pixel_can_be_pasted() -> None:
    edges = torch.from_numpy(_boxes(CutMix(1.0), 9, 12, 2000))
    boxes = Boxes(edges, torch.tensor([[1.0, 0.0]]), 9, 12)
    pasted = boxes.paint()[:, 1].mean(0)
    assert pasted.shape == (9, 12) and pasted.min() > 0.05


def test_sides_of_no_pixel_become_one_where_asked() -> None:
    without, with_one = (
        _boxes(PublishedCutMix(1.0, min_side=side), 16, 16, 2000) for side in (0, 1)
    )
    sides = [np.diff(edges.reshape(-1, 2, 2), axis=2).squeeze(2) for edges in (without, with_one)]
    assert (sides[0] == 0).any() and (sides[1] >= 1).all()
    assert (sides[1] == np.maximum(sides[0], 1)).all()
    assert with_one.min() >= 0 and with_one.max() <= 16


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 50)])
def test_cutout_erases_a_square_of_the_shorter_side(height: int, width: int) -> None:
    edges = _boxes(Cutout(0.5), height, width, 3000)
    side = min(height, width) // 2
    heights, widths = edges[:, 1] - edges[:, 0], edges[:, 3] - edges[:, 2]
    inside = (edges[:, 0] > 0) & (edges[:, 1] < height) & (edges[:, 2] > 0) & (edges[:, 3] < width)
    assert (heights[inside] == side).all() and (widths[inside] == side).all() and inside.any()
    assert heights.min() >= side // 2 and widths.min() >= side // 2
    assert heights.max() == side and widths.max() == side


def test_cutout_erases_to_zero_and_keeps_the_label() -> None:
    images, targets = torch.ones(64, 3, 16, 16), torch.eye(64)
    blend = Policy().draw(Cutout(0.5), images, targets, Address(0))
    mixed, labels = blend.mix(images, targets)
    assert torch.equal(labels, targets)
    erased = (mixed == 0).flatten(1).double().mean(1)
    assert ((mixed == 0) | (mixed == 1)).all()
    assert erased.min() >= 1 / 16 and erased.max() == 1 / 4


@pytest.mark.parametrize("per_row", [True, False])
def test_one_of_chooses_by_weight(per_row: bool) -> None:
    method = OneOf([Cutout(0.5), CutMix(1.0)], weights=[1, 3], per_row=per_row)
    images = torch.ones(16, 1, 8, 8)
    cut = []
    for batch in range(400):
        blend = Policy().draw(method, images, torch.eye(16), Address(0, 0, 0, batch))
        rows = (blend.images(images) == 0).flatten(1).any(1)
        assert per_row or rows.all() or not rows.any()
        cut += rows.tolist() if per_row else rows[:1].tolist()
    assert abs(np.mean(cut) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(cut))
    assert per_row or 0 < np.mean(cut)
