"""Worked examples: each caption's shares are those of the tile's pixels."""

import re

import numpy as np
import pytest
import torch

from mixlab.pictures.boxed import boxed, label_table
from mixlab.pictures.examples import (
    blend_cells,
    blends,
    method_cells,
    methods_side_by_side,
    pasted,
)
from mixlab.pictures.sheet import PAGE_WIDTH, Cell

NAMES = ["cat", "dog", "rose", "tulip"]


def colors(count: int, size: tuple[int, int] = (20, 30)) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures that show their class in every pixel: red, green, blue, black."""
    targets = torch.eye(count)
    images = torch.zeros(count, 3, *size)
    for row in range(min(count, 3)):
        images[row, row] = 1
    return images, targets


def shares_said(cell: Cell) -> dict[str, float]:
    """The shares by name in a cell's caption."""
    texts = [text for line in cell.lines for text in line.texts[:1]]
    found = [pair for text in texts for pair in re.findall(r"(\d\.\d+) (cat|dog)", text)]
    return {name: float(share) for share, name in found}


def shares_seen(cell: Cell) -> list[float]:
    """Mean red and green of a tile."""
    assert cell.image is not None
    return (np.asarray(cell.image, float).mean((0, 1)) / 255)[:2].tolist()


def test_nine_blends_show_the_shares_they_say() -> None:
    cells = blend_cells(*colors(2), NAMES)
    said = [shares_said(cell) for cell in cells]
    assert [each["cat"] for each in said] == [pytest.approx(k / 10) for k in range(1, 10)]
    for cell, shares in zip(cells, said, strict=True):
        assert shares_seen(cell) == pytest.approx([shares["cat"], shares["dog"]], abs=0.003)


@pytest.mark.parametrize("box", [(0, 10, 0, 30), (5, 12, 3, 29), (0, 1, 0, 1)])
def test_methods_side_by_side_are_of_one_strength(box) -> None:
    original, mixup, cutout, cutmix = method_cells(*colors(2), box, NAMES)
    area = (box[1] - box[0]) * (box[3] - box[2]) / 600
    for cell in (mixup, cutmix):
        assert shares_seen(cell) == pytest.approx([1 - area, area], abs=0.003)
        assert shares_said(cell).get("cat") == pytest.approx(1 - area, abs=0.005)
    assert shares_seen(original) == [1, 0]
    assert shares_seen(cutout) == pytest.approx([1 - area, 0], abs=0.003)
    assert shares_said(cutout) == {"cat": 1}, "cutout keeps its label"
    assert [cell.lines[0].texts[0] for cell in (original, cutmix)] == ["original", "CutMix"]


def test_a_published_example_whose_labels_do_not_follow_its_pixels() -> None:
    images, targets = colors(4, (2016, 1512))
    blend = pasted([1, 0, 3, 2], (10, 600, 10, 600), 2016, 1512)
    mixed, labels = blend.mix(images, targets)
    table = [
        [word for word, _ in line] for line in label_table(blend, targets, labels, NAMES, [1.0] * 4)
    ]
    for row, partner in enumerate([1, 0, 3, 2]):
        own, theirs = NAMES[row], NAMES[partner]
        assert table[row] == [
            str(row),
            f"1.0000 {own}",
            f"{partner} {theirs}",
            "0.8858",
            "0.1142",
            f"0.8858 {own} + 0.1142 {theirs}",
            "1.0000, 0.1142 too much",
        ]
    seen = mixed.mean((2, 3))[0, :2].tolist()
    assert seen == pytest.approx([0.8858, 0.1142], abs=5e-5), "in the pixels themselves"


def test_a_published_share_that_is_right_is_not_marked() -> None:
    _, targets = colors(2)
    blend = pasted([1, 0], (0, 10, 0, 30), 20, 30)
    (first, second) = label_table(blend, targets, blend.targets(targets), NAMES, [0.5, 0.2])
    assert first[-1][0] == "0.5000" and second[-1][0] == "0.2000, 0.3000 too little"
    assert first[-1][1] != second[-1][1], "in another color"


def test_a_picture_that_is_its_own_partner_keeps_its_label() -> None:
    _, targets = colors(2)
    blend = pasted([0, 0], (0, 10, 0, 30), 20, 30)
    own, other = label_table(blend, targets, blend.targets(targets), NAMES)
    assert own[3][0] == "1.0000" and other[3][0] == "0.5000"


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (200, 200), (310, 420), (900, 90), (60, 700)])
def test_no_page_is_too_wide(size: tuple[int, int]) -> None:
    names = ["a name that takes up very much more room than there is " * 3] * 9
    images, targets = colors(9, size)
    first, label = images[:2], targets[:2]
    box = (0, size[0] // 2, 0, size[1] // 2)
    for page in (
        blends(first, label, names),
        methods_side_by_side(first, label, box, names),
        boxed(first, label, [1, 0], box, names, [1, 0]),
        boxed(images, targets, [*range(1, 9), 0], box, names, [1] * 9),
    ):
        assert page.width <= PAGE_WIDTH and min(page.size) > 80
