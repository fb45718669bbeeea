"""What is hidden, how much of it, and under what."""

import numpy as np
import pytest
import torch

from mixlab.data.augmentation import Cutout, GridMask, HideAndSeek, Noise, RandomErasing
from mixlab.data.augmentation.erase import hidden_squares

WHITE = torch.full((2000, 3, 20, 30), 255, dtype=torch.uint8)


def hidden(augmentation, images=WHITE) -> torch.Tensor:
    """bool (B, H, W): the black pixels; the channels agree."""
    black = augmentation(images, np.random.default_rng(0)) == 0
    assert torch.equal(black[:, 0], black[:, 2])
    return black[:, 0]


def boxes(black: torch.Tensor) -> torch.Tensor:
    """(B, 2) heights and widths of what is hidden, which is all of a rectangle."""
    sides = torch.stack([black.any(2).sum(1), black.any(1).sum(1)], dim=1)
    assert torch.equal(sides.prod(1), black.sum((1, 2)))
    return sides


def test_cutout_hides_a_square_that_the_border_may_cut() -> None:
    sides = boxes(hidden(Cutout(side_fraction=0.5)))
    assert sides.max() == 10 and (sides == 10).all(1).float().mean() > 0.3
    assert sides.min() >= 5  # its center is inside
    assert (boxes(hidden(Cutout(side_fraction=0.0))) == 0).all()


def test_random_erasing_keeps_to_its_area_and_aspect() -> None:
    sides = boxes(hidden(RandomErasing(area=(0.1, 0.3), aspect=(0.5, 2)))).double()
    area, aspect = sides.prod(1) / 600, sides[:, 0] / sides[:, 1]
    assert area.min() > 0.08 and area.max() < 0.32 and 0.18 < area.mean() < 0.22
    assert aspect.min() > 0.4 and aspect.max() < 2.5
    assert 0.45 < (aspect > 1).double().mean() < 0.58  # as often high as wide


def test_random_erasing_leaves_what_no_box_fits_into() -> None:
    assert not hidden(RandomErasing(area=(1, 1), aspect=(1, 1))).any()


def test_every_place_is_erased_sooner_or_later() -> None:
    for one in (RandomErasing(), Cutout(), GridMask(), HideAndSeek()):
        assert hidden(one).any(0).all()


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_grid_mask_hides_the_square_of_its_ratio(ratio: float) -> None:
    share = hidden(GridMask(ratio=(ratio, ratio))).double().mean()
    assert abs(share - ratio**2) < 0.005


def test_grid_mask_unturned_is_a_grid() -> None:
    drawn = torch.tensor([[0.25], [0.0], [0.1], [0.3], [0.5]])  # cells of 4 pixels
    found = hidden_squares(drawn, 8, 12)[0, 0]
    rows, columns = found.any(1), found.any(0)
    assert torch.equal(found, rows[:, None] & columns)
    assert torch.equal(rows[4:], rows[:-4]) and torch.equal(columns[4:], columns[:-4])
    assert (rows.sum(), columns.sum()) == (4, 6)


def test_grid_mask_turned_by_a_quarter_is_the_picture_turned() -> None:
    turned = torch.tensor([[0.0], [0.2], [0.3], [0.1], [0.4]])
    straight = torch.tensor([[0.2], [0.0], [0.3], [0.1], [0.4]])
    assert torch.equal(
        hidden_squares(turned, 15, 15)[0, 0], hidden_squares(straight, 15, 15)[0, 0].rot90(1)
    )


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_hide_and_seek_hides_whole_cells_each_by_the_chance(chance: float) -> None:
    """Four by four of 20 x 30 pixels, none more often than another or with its neighbor."""
    black = hidden(HideAndSeek(cells=(4,), hidden=chance))
    edges = torch.tensor([0, 8, 15, 23])  # columns of 8, 7, 8 and 7 pixels
    cells = black[:, ::5][:, :, edges]
    whole = cells.repeat_interleave(5, 1).repeat_interleave(torch.tensor([8, 7, 8, 7]), 2)
    assert torch.equal(black, whole)
    spread = (chance * (1 - chance) / len(black)) ** 0.5
    assert ((cells.double().mean(0) - chance).abs() <= 4 * spread).all()
    for first, second in ((cells[:, 1:], cells[:, :-1]), (cells[:, :, 1:], cells[:, :, :-1])):
        assert abs((first & second).double().mean() - chance**2) < 0.01


def test_hide_and_seek_draws_a_grid_for_each_image() -> None:
    black = hidden(HideAndSeek(cells=(1, 5), hidden=0.5))
    uniform = (black.flatten(1).all(1) | ~black.flatten(1).any(1)).double().mean()
    assert 0.46 < uniform < 0.54  # of one cell; 25 cells are hardly ever alike


@pytest.mark.parametrize("kind", [Cutout, RandomErasing, GridMask, HideAndSeek])
def test_fills(kind) -> None:
    images = torch.zeros_like(WHITE[:500])
    gray = kind(fill="gray")(images, np.random.default_rng(0))
    assert set(gray.unique().tolist()) == {0, 128}
    noise = kind(fill="noise")(images, np.random.default_rng(0))
    content = noise[gray == 128].double()
    assert 124 < content.mean() < 132 and 55 < content.std() < 65  # a little is clipped
    assert (noise[gray == 0] == 0).all()
    assert not torch.equal(noise[:, 0], noise[:, 1])  # each channel its own


def test_noise_has_the_deviation_of_its_image() -> None:
    images = torch.full((400, 1, 30, 30), 128, dtype=torch.uint8)
    after = Noise(std=(0.05, 0.15))(images, np.random.default_rng(0)).double() / 255
    std = after.flatten(1).std(1)
    assert 0.045 < std.min() < 0.06 and 0.14 < std.max() < 0.16
    assert abs(after.mean() - 128 / 255) < 0.001
