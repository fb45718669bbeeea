"""What is taken where the command line does not say: rows, partners and boxes."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from helpers.small_runs import composed
from mixlab.mixing import Address
from mixlab.previews.figures import AREA, box_for, given_partners, show_batch


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (
            "mixing.probability=0.1",
            "; 5 of 64 rows are mixed; the rows shown are chosen to include mixed rows",
        ),
        ("mixing.probability=0.1 mixing.gate=batch", "; no row of this batch is mixed"),
        ("mixing.probability=1", ""),
    ],
)
def test_what_is_said_names_the_rows_shown(words: str, note: str) -> None:
    cfg = composed("mixing=cutmix", "+count=4", *words.split(), config="preview")
    assert show_batch(cfg)[1] == f"batch 0 of epoch 0 of digits, before and after mixing{note}"


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
