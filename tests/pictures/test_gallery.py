"""The gallery, and images before and after: what is drawn where, and what is said of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from mixlab.mixing import Blend
from mixlab.pictures.bars import TableBars
from mixlab.pictures.batch import before_and_after
from mixlab.pictures.captions import ACCENT
from mixlab.pictures.gallery import LARGEST, Mixed, bands, column, empty_column, gallery, title
from mixlab.pictures.parts import INKS, parts_of
from mixlab.pictures.sheet import MARGIN, PAGE_WIDTH, Cell
from mixlab.pictures.tiles import FRAME_ROOM, TILE

NAMES = ["cat", "dog"]


def grays(*levels: float) -> torch.Tensor:
    """Images of one level each, (N, 3, 32, 32)."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 3, 32, 32).clone()


def level(page: Image.Image, left: int, top: int) -> float:
    """Of a tile, near its corner."""
    return np.asarray(page)[top + 20, left + 20, 0] / 255


def test_columns_are_the_row_its_partner_and_each_method() -> None:
    images, targets = grays(0, 0.5, 1), torch.eye(2)[[0, 1, 0]]
    mixed = {"mixup": (grays(0.2, 0.7), targets[:2]), "cutmix": (grays(0.3, 0.9), targets[:2])}
    page = gallery(images, targets, torch.tensor([1, 2]), mixed, NAMES)
    tops = [MARGIN + 15 + 6 + MARGIN + row * (LARGEST + 15 + 6 + MARGIN) for row in (0, 1)]
    lefts = [MARGIN + number * (LARGEST + MARGIN) for number in range(4)]
    found = [[level(page, left, top) for left in lefts] for top in tops]
    assert found[0] == pytest.approx([0, 0.5, 0.2, 0.3], abs=0.01)
    assert found[1] == pytest.approx([0.5, 1, 0.7, 0.9], abs=0.01)


def test_a_tile_has_its_label_below_a_line_for_each_class() -> None:
    name, first, _ = column(
        "mixup", grays(0, 1), torch.tensor([[0.3, 0.7], [1, 0]]), grays(0), NAMES
    )
    assert [line.texts[0] for line in name.lines] == ["mixup"]
    assert [line.texts[0] for line in first.lines] == ["0.70 dog", "0.30 cat"]


def test_notes_stand_below_the_name_and_are_not_cut() -> None:
    note = "labels of the area, not weighed by the network"
    first, *rest = title("trans_mix", ACCENT, 90, [note]).lines
    assert first.texts[0] == "trans_mix" and len(rest) > 1
    assert " ".join(line.texts[0] for line in rest) == note
    images, targets, partners = grays(0.5, 0.5), torch.eye(2), torch.tensor([1, 0])
    mixed = {"a": (images, targets), "b": (images, targets)}
    bare, noted = (
        gallery(images, targets, partners, mixed, NAMES, notes=notes)
        for notes in (None, {"b": [note]})
    )
    assert noted.height > bare.height


@pytest.mark.parametrize("number", [1, 5, 7, 20])
def test_rows_with_a_look_are_in_the_colors_of_row_and_partner(number: int) -> None:
    rows, targets = torch.eye(3), torch.eye(3)
    own, partner = ([round(255 * part) for part in INKS[k].tolist()] for k in (0, 1))
    blend = Blend.pair(np.array([1, 2]), torch.tensor([[0.5, 0.5]]))
    made = blend.images(rows)
    mixed = {f"m{k}": Mixed(made, targets[:2], parts_of(blend, rows, made)) for k in range(number)}
    page = np.asarray(
        gallery(rows, targets, torch.tensor([1, 2]), mixed, look=TableBars(3)).convert("RGB")
    )
    assert page.shape[1] <= PAGE_WIDTH
    if number <= 7:
        assert len(page) < 400, "one band"
        first = MARGIN + FRAME_ROOM + 5
        assert (page[:, first : first + 10] == own).all(2).any()
        assert not (page[:, first : first + 10] == partner).all(2).any()
        mixture = page[:, page.shape[1] // (2 + number) * 2 :]
        assert (mixture == own).all(2).any() and (mixture == partner).all(2).any()


@pytest.mark.parametrize("number", [1, 9, 10, 11, 30])
@pytest.mark.parametrize("side", [16, 32, 140, 400])
def test_many_methods_take_several_bands(number: int, side: int) -> None:
    images, targets = torch.rand(2, 1, side, side), torch.eye(2)
    mixed = {f"a_method_with_a_long_name_{k}": (images, targets) for k in range(number)}
    page = gallery(images, targets, torch.tensor([1, 0]), mixed, ["x" * 99, "y" * 99])
    assert page.width <= PAGE_WIDTH


def test_bands_miss_no_method_and_are_led_by_the_originals() -> None:
    tile = Image.new("RGB", (TILE, TILE))
    first, others = [[Cell(tile)]] * 2, [[Cell(tile, [])] for _ in range(25)]
    found = bands(first, others)
    assert all(band[:2] == first for band in found)
    assert [cell for band in found for cell in band[2:]] == others
    assert len({len(band) for band in found[:-1]}) == 1


def test_a_method_that_cannot_says_why() -> None:
    images, targets = grays(0.5, 0.5), torch.eye(2)
    mixed = {"mixup": (images, targets), "saliency": "it needs a network to ask"}
    page = gallery(images, targets, torch.tensor([1, 0]), mixed, NAMES)
    gray = np.asarray(page)[MARGIN + 15 + 6 + MARGIN + 5, MARGIN + 3 * (LARGEST + MARGIN) + 5]
    assert gray.tolist() == [0xEE, 0xF0, 0xF2]


def test_pairs_stand_beside_each_other() -> None:
    page = before_and_after(grays(0, 0.2), grays(1, 0.6), torch.eye(2), NAMES)
    width = 2 * TILE + 12
    found = [
        level(page, MARGIN + k * (width + MARGIN) + d, MARGIN)
        for k in (0, 1)
        for d in (0, TILE + 12)
    ]
    assert found == pytest.approx([0, 1, 0.2, 0.6], abs=0.01)


def test_pairs_of_other_sizes_and_numbers() -> None:
    page = before_and_after(torch.rand(30, 3, 32, 32), torch.rand(30, 3, 24, 24), count=5)
    assert page.width <= PAGE_WIDTH
    with pytest.raises(ValueError, match="2 images before and 1 after"):
        before_and_after(grays(0, 1), grays(0))


def test_a_reason_ends_before_its_remedy_and_is_not_cut() -> None:
    reason = "AlignMix matches each position, and 64 x 64 are more than 1024; choose a later layer"
    _, first, second = empty_column("alignmix", reason, 2, (64, 64))
    said = " ".join(word for line in first.lines for word in line.texts)
    assert said == reason.split(";")[0] and not second.lines
