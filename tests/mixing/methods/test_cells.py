"""GridMix, PatchMix, mixed concat and random 2x2: whole cells, as likely as the papers say."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from helpers.mixing_cases import labeled_pictures
from mixlab.mixing import Concat, GridMix, Method, MixedConcat, PatchMix, Random2x2
from mixlab.mixing.masks import painted

ROWS = 4000


def _masks(method: Method, height: int, width: int, rows: int = ROWS) -> np.ndarray:
    """(rows, height, width): the partner's."""
    images = torch.zeros(rows, 1, 1, 1).expand(-1, -1, height, width)
    partners = np.arange(rows)
    mask = method(images, torch.zeros(rows, 2), np.random.default_rng(7), partners).mask
    return painted(mask)[:, 1].numpy()


@pytest.mark.parametrize("size", [(12, 12), (8, 20)])
def test_a_grids_cells_are_whole(size: tuple[int, int]) -> None:
    masks = _masks(GridMix(1.0, cells=4), *size)
    cells = masks.reshape(ROWS, 4, size[0] // 4, 4, size[1] // 4)
    assert (cells == cells[:, :, :1, :, :1]).all()
    assert set(np.unique(masks)) == {0.0, 1.0}


def test_the_number_of_a_grids_cells_is_uniform_with_alpha_one() -> None:
    """Binomial with a chance that is uniform: every number from 0 to 9 is as likely."""
    numbers = _masks(GridMix(1.0, cells=3), 3, 3).sum((1, 2)).astype(int)
    assert stats.chisquare(np.bincount(numbers, minlength=10)).pvalue > 0.01


def test_cells_of_a_side_that_does_not_divide_differ_by_a_pixel() -> None:
    masks = _masks(GridMix(0.5, cells=4), 10, 11, 500)
    borders = (np.diff(masks, axis=1) != 0).any((0, 2)).nonzero()[0] + 1
    assert set(np.diff([0, *borders, 10])) == {2, 3}


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_the_number_of_patches_is_the_rounded_share(alpha: float) -> None:
    masks = _masks(PatchMix(alpha, patch_size=4), 16, 20)
    own = np.random.default_rng(7).beta(alpha, alpha, size=ROWS)
    patches = masks[:, ::4, ::4]
    assert (masks == patches.repeat(4, 1).repeat(4, 2)).all()
    assert abs(patches.sum((1, 2)) - 20 * (1 - own)).max() <= 0.5 + 1e-9


def test_every_patch_is_as_likely() -> None:
    taken = _masks(PatchMix(1.0, patch_size=4), 16, 20)[:, ::4, ::4].mean(0)
    spread = np.sqrt(taken.mean() * (1 - taken.mean()) / ROWS)
    assert abs(taken - 0.5).max() < 4 * spread


def test_patches_at_the_border_are_cut_off_and_weighed_so() -> None:
    images = torch.zeros(300, 1, 6, 7)
    blend = PatchMix(1.0, patch_size=4)(images, torch.zeros(300, 2), np.random.default_rng(0))
    torch.testing.assert_close(blend.share, painted(blend.mask).mean((2, 3)))
    assert len(set((blend.share[:, 1] * 42).round().int().tolist())) > 8  # of 16, 12, 8 and 6


def test_a_mixed_concat_is_a_horizontal_concat_of_two_vertical_ones() -> None:
    """The definition: of row over partner on the left, and of partner over row on the right."""
    images, targets = labeled_pictures(64, (15, 20))
    partners = np.roll(np.arange(64), 1)
    cut = np.random.default_rng(3).beta(1, 1, size=128)
    given = iter([cut[:64], cut[64:]])

    # The heights for the vertical concats, then the widths for the horizontal one.
    rng: Any = SimpleNamespace(beta=lambda *_, **__: next(given))
    found = MixedConcat(1.0)(images, targets, np.random.default_rng(3), partners).images(images)
    below = Concat(1.0)(images, targets, rng, partners)
    over, under = below.images(images), images + images[partners] - below.images(images)
    both = torch.cat([over, under])
    beside = Concat(1.0, side_by_side=True)(both, both, rng, np.arange(64, 128))
    torch.testing.assert_close(found, beside.images(both), rtol=0, atol=1e-6)


def test_the_cuts_of_a_mixed_concat_are_uniform_and_apart() -> None:
    masks = _masks(MixedConcat(1.0), 40, 60)
    both = (masks[:, 0, -1] == 1) & (masks[:, -1, 0] == 1)  # neither cut is at a border
    heights, widths = 1 - masks[both, :, 0].mean(1), 1 - masks[both, 0].mean(1)
    for found, side in ((heights, 40), (widths, 60)):
        whole = (found * side).round().astype(int)
        assert stats.chisquare(np.bincount(whole, minlength=side)[1:side]).pvalue > 0.01
    assert stats.spearmanr(heights, widths).pvalue > 0.01


def test_the_quarters_of_a_random_2x2_meet_in_the_middle_half() -> None:
    masks = _masks(Random2x2(1.0), 40, 60)
    for axis, side in ((1, 40), (2, 60)):
        lines = (np.diff(masks, axis=axis) != 0).any(3 - axis)
        assert (lines.sum(1) <= 1).all()
        found = lines.nonzero()[1] + 1
        assert found.min() == side // 4 and found.max() == 3 * side // 4
        inside = found[(found > found.min()) & (found < found.max())]  # half a pixel at each end
        assert stats.chisquare(np.bincount(inside)[side // 4 + 1 :]).pvalue > 0.01


def test_the_number_of_a_random_2x2s_quarters_is_uniform_with_alpha_one() -> None:
    """As of a grid's cells; and each quarter is as likely, whatever its place."""
    masks = _masks(Random2x2(1.0), 8, 12)
    corners = masks[:, [0, 0, -1, -1], [0, -1, 0, -1]].astype(int)
    assert stats.chisquare(np.bincount(corners.sum(1), minlength=5)).pvalue > 0.01
    assert abs(corners.mean(0) - 0.5).max() < 4 * 0.5 / np.sqrt(ROWS)


def test_quarters_are_weighed_by_their_area() -> None:
    """Of both methods, each with draws for every row or for the batch, and an empty quarter."""
    images = torch.zeros(200, 1, 7, 3)
    for method in (MixedConcat(0.2), Random2x2(1.0, (0, 1)), Random2x2(1.0, per_row=False)):
        blend = method(images, torch.zeros(200, 2), np.random.default_rng(0))
        torch.testing.assert_close(blend.share, painted(blend.mask).mean((2, 3)))
