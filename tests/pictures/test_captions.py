"""Captions: which class comes first, and words that are apart."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from mixlab.pictures.captions import describe_label, text_width, write


def test_equal_shares_are_in_the_order_of_row_and_partner() -> None:
    halves, own = torch.tensor([0.498, 0.0, 0.502]), torch.tensor([1.0, 0.0, 0.0])
    assert describe_label(halves, own=own) == "0.50 '0' + 0.50 '2'"
    assert describe_label(halves, own=own.flip(0)) == "0.50 '2' + 0.50 '0'"
    assert describe_label(torch.tensor([0.3, 0.0, 0.7]), own=own) == "0.70 '2' + 0.30 '0'"


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
