"""Blocks of a feature map: how much of it they cover, their shape, and what they take."""

import numpy as np
import pytest
import torch

from mixlab.errors import UserError
from mixlab.mixing.masks import painted
from mixlab.mixing.methods import HardPatchUp, SoftPatchUp
from mixlab.mixing.methods.patchup import blocks_around, blocks_reaching, center_rate

RING = np.roll(np.arange(400), 1)


def other_mask(method: HardPatchUp, side: int, rows: int = 400) -> torch.Tensor:
    """(rows, side, side): what is taken of the partner."""
    rng, features = np.random.default_rng(0), torch.rand(1).expand(rows, 3, side, side)
    blend = method(features, torch.eye(rows), rng, RING[:rows])
    mask = painted(blend.mask, "cpu")
    assert mask.ndim == 4, "of all channels"
    torch.testing.assert_close(mask.mean((2, 3)), blend.share)
    return mask[:, 1]


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("side", [4, 9, 32])
@pytest.mark.parametrize("block", [1, 2, 7])
def test_blocks_cover_gamma_of_the_map(gamma: float, side: int, block: int) -> None:
    taken = other_mask(HardPatchUp(gamma, block), side).mean((1, 2))
    assert abs(taken.mean() - gamma) < 4 * taken.std() / 20 + 1e-3


def test_the_chance_of_a_center_is_the_closed_form_without_overlaps() -> None:
    assert center_rate(0.3, 1, 8, 5) == pytest.approx(0.3)
    assert center_rate(1.0, 3, 8, 8) == pytest.approx(1.0, abs=1e-3)
    assert blocks_reaching(5, 3).tolist() == [2, 3, 3, 3, 2]
    assert blocks_reaching(5, 2).tolist() == [1, 2, 2, 2, 2]


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_a_block_is_a_square_around_its_center(side: int) -> None:
    centers = np.zeros((1, 9, 9), dtype=bool)
    centers[0, 4, 5] = True
    rows, columns = blocks_around(centers, side)[0].nonzero().unbind(1)
    low, high = 4 - (side - 1) // 2, 4 + side // 2
    assert sorted(set(rows.tolist())) == [*range(low, high + 1)]
    assert sorted(set(columns.tolist())) == [*range(low + 1, high + 2)]
    reached = blocks_reaching(9, side)
    everywhere = sum(
        blocks_around(np.eye(81, dtype=bool)[n].reshape(1, 9, 9), side)[0].int() for n in range(81)
    )
    assert torch.equal(torch.as_tensor(everywhere), torch.from_numpy(np.outer(reached, reached)))


def test_hard_takes_all_and_soft_a_share_of_its_own() -> None:
    hard, soft = other_mask(HardPatchUp(), 12), other_mask(SoftPatchUp(), 12)
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    assert all(len(row.unique()) <= 2 for row in soft), "nothing, or the row's share"
    shares = soft.amax((1, 2))[soft.amax((1, 2)) > 0]
    assert len(shares.unique()) > 300 and abs(shares.mean() - 0.5) < 0.05
    assert len(other_mask(HardPatchUp(per_row=False), 12)) == 1


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"gamma": 0}, "gamma must be"),
        ({"gamma": 1.5}, "gamma must be"),
        ({"block_size": 0}, "block_size must be a whole number from 1"),
        ({"block_size": 2.5}, "block_size must be"),
        ({"alpha": 0}, "alpha must be"),
    ],
)
def test_wrong_knobs_are_named(knobs: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        SoftPatchUp(**knobs)


@pytest.mark.parametrize(("size", "half"), [((4, 6), 2), ((9, 5), 3), ((7, 7), 4), ((1, 8), 1)])
def test_a_block_is_cut_to_half_of_the_shorter_side(size: tuple[int, int], half: int) -> None:
    features, targets = torch.rand(50, 3, *size), torch.eye(50)
    masks = [
        painted(HardPatchUp(0.5, block)(features, targets, np.random.default_rng(1)).mask)
        for block in (7, 50, half)
    ]
    assert torch.equal(masks[0], masks[2]) and torch.equal(masks[1], masks[2])
