"""Methods that look at the picture decide by what they see."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mixlab.mixing import AttentiveMix, Blend, Boxes, SaliencyMix
from mixlab.mixing.methods.attentivemix import strongest_cells

PARTNERS = np.array([1, 2, 3, 0])


def brightness(images: Tensor, targets: Tensor) -> Tensor:
    """A saliency without surprises."""
    maps = images.mean(1) + 1e-6
    return maps / maps.sum((1, 2), keepdim=True)


def peaks(rows: int, columns: int, height: int, width: int) -> Tensor:
    """Four pictures, each with one bright pixel, of which the first is given."""
    places = [(rows, columns), (0, 0), (height - 1, width - 1), (height // 2, 1)]
    images = torch.zeros(4, 3, height, width)
    for row, (y, x) in enumerate(places):
        images[row, :, y, x] = 1
    return images


@given(y=st.integers(0, 14), x=st.integers(0, 20), seed=st.integers(0, 999))
def test_saliencymixs_box_lies_around_the_partners_peak(y: int, x: int, seed: int) -> None:
    height, width = 15, 21
    images = peaks(y, x, height, width)
    method = SaliencyMix(1.0, saliency=brightness)
    blend = method(images, torch.eye(4), np.random.default_rng(seed), PARTNERS)
    assert isinstance(blend.mask, Boxes)
    sides = np.sqrt(1 - np.random.default_rng(seed).beta(1.0, 1.0, 4))
    found = images[PARTNERS].mean(1).flatten(1).argmax(1)
    for row, (top, bottom, left, right) in enumerate(blend.mask.edges.tolist()):
        cy, cx = divmod(int(found[row]), width)
        high, wide = int(sides[row] * height / 2), int(sides[row] * width / 2)
        assert (top, bottom) == (max(0, cy - high), min(height, cy + high))
        assert (left, right) == (max(0, cx - wide), min(width, cx + wide))
    assert len({tuple(edges) for edges in blend.mask.edges.tolist()}) > 1, "a box for each row"


@pytest.mark.parametrize("size", [(14, 14), (15, 10), (3, 9)])
def test_attentivemix_pastes_the_strongest_cells(size: tuple[int, int]) -> None:
    maps = torch.rand(5, *size, generator=torch.Generator().manual_seed(0))
    pasted = strongest_cells(maps, 7, 6)
    cells = [np.arange(length) * min(7, length) // length for length in size]
    for row in range(5):
        strength = {
            (y, x): float(maps[row][np.ix_(cells[0] == y, cells[1] == x)].mean())
            for y in set(cells[0])
            for x in set(cells[1])
        }
        best = sorted(strength, key=lambda cell: strength[cell])[-6:]
        expected = [[(y, x) in best for x in cells[1]] for y in cells[0]]
        assert torch.equal(pasted[row], torch.tensor(expected, dtype=torch.float32))


def test_cells_are_ranked_in_32_bits_also_where_autocast_has_16() -> None:
    """Maps that differ in their last bits alone: rounded to 16 bits, cells would be equal."""
    maps = 1 + 1e-4 * torch.rand(5, 14, 14, generator=torch.Generator().manual_seed(0))
    expected = strongest_cells(maps, 7, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = strongest_cells(maps, 7, 6)
    assert torch.equal(found, expected) and found.dtype == torch.float32


def test_attentivemixs_label_is_the_number_of_cells() -> None:
    """Where the grid divides the picture; elsewhere it is their area."""
    images = torch.rand(4, 3, 14, 21)
    blend: Blend = AttentiveMix(saliency=brightness)(
        images, torch.eye(4), np.random.default_rng(0), PARTNERS
    )
    torch.testing.assert_close(blend.share, torch.tensor([[43 / 49, 6 / 49]]).expand(4, 2))


def test_it_is_the_partner_that_is_looked_at() -> None:
    images = peaks(3, 7, 14, 14)
    mixed = AttentiveMix(1, saliency=brightness)(
        images, torch.eye(4), np.random.default_rng(0), PARTNERS
    ).images(images)
    assert all(mixed[row].sum() >= images[PARTNERS[row]].sum() for row in range(4))


@pytest.mark.parametrize(("cells", "grid"), [(49, 7), (50, 7), (1, 1)])
def test_all_cells_are_too_many(cells: int, grid: int) -> None:
    with pytest.raises(ValueError, match=rf"num_cells must be below the {grid**2} cells"):
        AttentiveMix(cells, grid)
