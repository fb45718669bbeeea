"""Captions: which class comes first, and words that are apart."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from mixlab.mixing import Batch, Blend
from mixlab.pictures.batch import mixed_batch, words
from mixlab.pictures.captions import describe_label, label_wrapped, text_width, write
from mixlab.pictures.sheet import LINE_HEIGHT


def test_equal_shares_are_in_the_order_of_row_and_partner() -> None:
    halves, own = torch.tensor([0.498, 0.0, 0.502]), torch.tensor([1.0, 0.0, 0.0])
    assert describe_label(halves, own=own) == "0.50 '0' + 0.50 '2'"
    assert describe_label(halves, own=own.flip(0)) == "0.50 '2' + 0.50 '0'"
    assert describe_label(torch.tensor([0.3, 0.0, 0.7]), own=own) == "0.70 '2' + 0.30 '0'"


@pytest.mark.parametrize(
    ("weights", "lines"),
    [
        ([0.7, 0.3], ["0.70 a + 0.30 b"]),
        ([0.85, 0.85, 0.3], ["0.85 a + 0.85 b + 0.30 c"]),
        ([0.85, 0.85, 0.3, 0.1], ["0.85 a + 0.85 b + 0.30 c +", "0.10 d"]),
        ([0.7, 0.7, 0.7, 0.3, 0.3, 0.3, 0.1], ["0.70 a + 0.70 b + 0.70 c +",
                                               "0.30 d + 0.30 e + 0.30 f + ..."]),
    ],
)  # fmt: skip
def test_several_labels_go_on_in_a_second_line(weights: list[float], lines: list[str]) -> None:
    target = torch.tensor(weights)
    assert [line.fitted(400) for line in label_wrapped(target, "abcdefg")] == lines
    shown = words(0, target[None], "abcdefg", {})
    assert [line.fitted(400) for line in shown] == [*lines, "row 0"]


def test_names_are_shortened_in_both_lines() -> None:
    names = ["sunflower", "dandelion", "carnation", "buttercup"]
    shown = label_wrapped(torch.tensor([0.9, 0.9, 0.1, 0.1]), names)
    first, second = (line.fitted(260) for line in shown)
    assert first.count("0.") == 3 and first.endswith(". +") and "..." not in first
    assert second == "0.10 buttercup"


def test_the_caption_of_a_mixed_row_has_all_its_labels() -> None:
    """Pictures as high as with one line less would have cut the second."""
    images = torch.zeros(2, 3, 96, 96)
    heights = []
    for classes in (1, 2):
        targets = torch.zeros(2, 4)
        targets[0, :classes], targets[1, 2 : 2 + classes] = 1.0, 1.0
        before = Batch(images, targets)
        blend = Blend.pair(np.array([1, 0]), torch.full((1, 2), 0.5))
        mixed = blend.mix(images, targets)
        heights.append(mixed_batch(before, Batch(*mixed), blend, columns=1).height)
    assert heights[1] - heights[0] == 2 * LINE_HEIGHT


@pytest.mark.parametrize("size", [11, 12, 13, 18])
def test_words_are_apart(size: int) -> None:
    """Columns without ink between `is` and `temple`: as many as a third of the letters' height."""
    page = Image.new("L", (200, 40), 255)
    write(ImageDraw.Draw(page), (5, 5), "is temple", "black", size)
    inked = [column < 200 for column in np.asarray(page).min(0)]
    gap = len(max("".join(" x"[int(each)] for each in inked).strip().split("x"), key=len))
    assert gap >= size / 3 - 1
    width = len("".join(" x"[int(each)] for each in inked).strip())
    assert width == pytest.approx(text_width("is temple", size), abs=3)
