"""HMix, Concat and VH-mixup: what their papers say, in terms of mixup, CutMix and each other."""

import numpy as np
import pytest
import torch
from scipy import stats

from helpers.mixing_cases import labeled_pictures, mean_pixel
from mixlab.mixing import Boxes, Concat, CutMix, HMix, Method, Mixup, VHMixup

ROWS = 64
PARTNERS = np.roll(np.arange(ROWS), 1)


def _mixed(method: Method, images: torch.Tensor, seed: int = 2) -> torch.Tensor:
    targets = torch.eye(len(images))
    return method(images, targets, np.random.default_rng(seed), PARTNERS).images(images)


def _own_masks(method: Method, height: int, width: int) -> np.ndarray:
    """(ROWS, height, width): how much of each pixel is the row's."""
    images, _ = labeled_pictures(ROWS, (height, width), torch.float64)
    return _mixed(method, images)[np.arange(ROWS), np.arange(ROWS)].numpy()


def test_hmix_is_mixup_without_a_box_and_cutmix_with_the_whole() -> None:
    images = torch.rand(ROWS, 3, 12, 15)
    torch.testing.assert_close(_mixed(HMix(0.5, 0), images), _mixed(Mixup(0.5), images))
    boxes = [
        method(images, torch.eye(ROWS), np.random.default_rng(2), PARTNERS).mask
        for method in (HMix(0.5, 1), CutMix(0.5))
    ]
    assert isinstance(boxes[0], Boxes) and isinstance(boxes[1], Boxes)
    assert torch.equal(boxes[0].edges, boxes[1].edges)


@pytest.mark.parametrize("ratio", [0, 0.3, 0.5, 1])
@pytest.mark.parametrize("alpha", [0.05, 1.0])
def test_hmixs_label_is_the_drawn_share_whatever_is_clipped(alpha: float, ratio: float) -> None:
    images, targets = labeled_pictures(ROWS, (13, 9))
    method = HMix(alpha, ratio)
    blend = method(images, targets, np.random.default_rng(2), PARTNERS)
    own = np.random.default_rng(2).beta(alpha, alpha, size=ROWS)
    np.testing.assert_allclose(blend.share[:, 0], own, atol=1e-6)
    mixed, labels = blend.mix(images, targets)
    torch.testing.assert_close(mean_pixel(mixed), labels.double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("side_by_side", [False, True])
def test_a_concatenation_has_one_cut_at_a_uniform_line(side_by_side: bool) -> None:
    own = (
        _own_masks(Concat(1.0, side_by_side), 200, 1)
        if not side_by_side
        else _own_masks(Concat(1.0, side_by_side), 1, 200).transpose(0, 2, 1)
    )
    assert (np.diff(own, axis=1) <= 0).all() and set(np.unique(own)) == {0.0, 1.0}
    assert stats.kstest(own.mean((1, 2)), "uniform").pvalue > 0.01


def test_a_vh_mixup_has_each_row_alone_in_a_corner_and_both_in_the_others() -> None:
    own = _own_masks(VHMixup(1.0), 16, 20)
    cut = (own[:, 0, 0] > 1 - 1e-6) & (own[:, -1, -1] < 1e-6)  # neither cut is at the border
    assert cut.mean() > 0.8
    right, below = own[cut, 0, -1], own[cut, -1, 0]
    np.testing.assert_allclose(right + below, 1, atol=1e-6)
    assert stats.kstest(right, "uniform").pvalue > 0.01
    for mask, at_right, at_left in zip(own[cut], right, below, strict=True):
        assert len(np.unique(mask.round(5))) <= 4
        upper, left = np.isclose(mask[:, -1], at_right), np.isclose(mask[-1], at_left)
        expected = at_right * upper[:, None] + at_left * left[None]
        np.testing.assert_allclose(mask, expected, atol=1e-6)


def test_the_cuts_of_a_vh_mixup_are_at_the_nearest_line() -> None:
    """A row has a line of pixels of its own where the cut is at its end."""
    height, width = 16, 20
    down, across, _ = np.random.default_rng(2).beta(1.0, 1.0, 3 * ROWS).reshape(3, ROWS)
    own = _own_masks(VHMixup(1.0), height, width)
    upper = np.isclose(own, own[:, :1]).all(2).sum(1)  # lines like the first
    left = np.isclose(own, own[:, :, :1]).all(1).sum(1)
    for found, cut, side in ((upper, down, height), (left, across, width)):
        inside = (cut * side > 0.51) & (cut * side < side - 0.51)
        assert inside.sum() > 40
        assert abs(found - cut * side)[inside].max() <= 0.5


def test_a_box_of_the_whole_picture_is_no_division_by_zero() -> None:
    images, targets = labeled_pictures(ROWS, (2, 2))
    blend = HMix(1e-3, 1)(images, targets, np.random.default_rng(2), PARTNERS)
    assert isinstance(blend.mask, Boxes) and (blend.mask.mean()[:, 1] == 1).any()
    assert torch.isfinite(blend.mask.outside).all() and torch.isfinite(blend.share).all()
