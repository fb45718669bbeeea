"""How the rows of a data module are drawn, or why they are not."""

from types import SimpleNamespace
from typing import Any

import pytest

from mixlab.data import DataSpec, ImageSpec
from mixlab.data.preprocess import Normalize
from mixlab.errors import UserError
from mixlab.pictures.bars import TableBars
from mixlab.previews.batches import scale_of

NAMES = ("a", "b")
NORMAL = Normalize((0.5,), (0.2,))


def data(spec: DataSpec, normalize: Normalize | None = None) -> Any:
    return SimpleNamespace(name="mine", spec=spec, prepare=SimpleNamespace(normalize=normalize))


def test_images_are_brought_back_and_other_rows_shown_as_the_network_gets_them() -> None:
    images = ImageSpec(1, 8, 8, NAMES)
    assert scale_of(data(images)) == {}
    assert scale_of(data(images, NORMAL)) == {"mean": (0.5,), "std": (0.2,)}
    assert scale_of(data(DataSpec((5,), NAMES), NORMAL)) == {"look": TableBars(5)}


def test_rows_of_many_axes_have_no_picture() -> None:
    with pytest.raises(UserError, match="mine has rows of 3 x 4 x 8 x 8, and only images and rows"):
        scale_of(data(DataSpec((3, 4, 8, 8), NAMES)))
