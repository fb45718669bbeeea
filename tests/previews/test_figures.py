"""What is taken where the command line does not say: partners and boxes."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mixlab.mixing import Address
from mixlab.previews.figures import AREA, box_for, given_partners


@pytest.mark.parametrize("count", range(2, 12))
def test_nobody_meets_itself_and_an_even_number_stands_in_pairs(count: int) -> None:
    nothing: Any = SimpleNamespace(partners=None)
    partners = given_partners(nothing, count)
    assert sorted(partners) == list(range(count))
    assert all(partner != row for row, partner in enumerate(partners))
    if count % 2 == 0:
        assert partners[partners].tolist() == list(range(count))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (40, 60), (2016, 1512)])
def test_a_box_that_nobody_gives_lies_inside(size: tuple[int, int]) -> None:
    nothing: Any = SimpleNamespace(box=None)
    images, (height, width) = torch.zeros(2, 1, *size), size
    boxes = [box_for(nothing, images, Address(seed)) for seed in range(50)]
    for top, bottom, left, right in boxes:
        assert 0 <= top < bottom <= height and 0 <= left < right <= width
    if min(size) > 30:
        top, bottom, left, right = boxes[0]
        area = (bottom - top) * (right - left) / (height * width)
        assert area == pytest.approx(AREA, abs=0.03)
        assert len({tuple(box) for box in boxes}) > 10, "somewhere else for another seed"
