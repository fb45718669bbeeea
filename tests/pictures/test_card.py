"""A card shows both rows, what is made of the first, and where it is seen."""

import numpy as np
import pytest
import torch
from PIL import Image

from mixlab.mixing import Blend
from mixlab.mixing.boxes import Boxes
from mixlab.mixing.masks import OWN_OF_TWO
from mixlab.pictures.card import CARD_SIDE, MixedRow, card, own_weight

EDGES = torch.tensor([[2, 6, 0, 4]] * 2)  # top, bottom, left, right
PARTNERS = np.array([1, 0])


def colors(picture: Image.Image) -> dict[tuple[int, ...], int]:
    """How many pixels have each color."""
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    found, counts = np.unique(pixels, axis=0, return_counts=True)
    return {tuple(each.tolist()): int(n) for each, n in zip(found, counts, strict=True)}


def test_the_weight_of_the_first_row() -> None:
    blend = Blend.pair(PARTNERS, Boxes(EDGES, OWN_OF_TWO, 8, 8))
    weight = own_weight(blend, (3, 8, 8))
    assert weight is not None and weight.shape == (1, 8, 8)
    assert (weight[0, 2:6, :4] == 0).all() and weight.sum() == 64 - 16
    assert own_weight(Blend.pair(PARTNERS, torch.tensor([[0.6, 0.4]])), (3, 8, 8)) is None


def test_a_row_that_feeds_itself_twice_is_seen_in_both_places() -> None:
    source = torch.tensor([[0, 1, 0], [1, 0, 1]])
    mask = torch.zeros(1, 3, 1, 4)
    mask[0, 0, 0, 0], mask[0, 1, 0, 1:3], mask[0, 2, 0, 3] = 1, 1, 1
    weight = own_weight(Blend(source, mask), (3, 2, 4))
    assert weight is not None and weight.tolist() == [[[1, 0, 0, 1]] * 2]


@pytest.mark.parametrize("has_mask", [True, False])
def test_a_card(has_mask: bool) -> None:
    red, blue, mixed = torch.zeros(3, 3, 12, 12)
    red[0], blue[2], mixed[1] = 1, 1, 1
    outcome = MixedRow(mixed, torch.tensor([0.7, 0.3]), torch.zeros(1, 12, 12), "mixed")
    outcome = outcome if has_mask else outcome._replace(mask=None)
    picture = card(torch.stack([red, blue]), [outcome], ["cat", "dog"])
    narrow = card(torch.stack([red, blue]), [outcome._replace(mask=None)], ["cat", "dog"])
    assert (picture.width > narrow.width) == has_mask
    found, tile = colors(picture), CARD_SIDE**2
    assert found[255, 0, 0] == found[0, 0, 255] == tile  # unchanged by what is in a frame
    assert tile - 2 * 4 * CARD_SIDE <= found[0, 255, 0] < tile
    assert (found.get((0, 0, 0), 0) > tile / 2) == has_mask
