"""Segmentation masks in PNG files: gray or palette, the class of each pixel."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mixlab.data.decode import UNREADABLE_IMAGE, bad, decode_error, read_header
from mixlab.errors import UserError

NO_CLASS = 255


def class_of(num_classes: int, values: Sequence[int] | None) -> np.ndarray:
    """uint8 (256,), the class that each pixel value means, 255 for none.

    Raises ValueError unless `values`, where given, are as many different numbers as classes.
    """
    values = list(range(min(num_classes, NO_CLASS))) if values is None else list(values)
    whole = all(type(value) is int and 0 <= value <= 255 for value in values)
    if not whole or len({*values}) != len(values) or len(values) != min(num_classes, NO_CLASS):
        raise UserError(
            f"data.mask_values must be {num_classes} different pixel values from 0 to 255, one for "
            f"each class, got {values}"
        )
    table = np.full(256, NO_CLASS, np.uint8)
    table[values] = np.arange(len(values))
    return table


def check_mask_size(path: str, size: tuple[int, int]) -> None:
    """Raise BadItem unless a mask's file has the height and width of its image."""
    height, width = read_header(path)
    if (height, width) != size:
        raise bad(
            path, f"is a mask of {width} x {height} pixels, its image has {size[1]} x {size[0]}"
        )


def decode_mask(path: str, table: np.ndarray, *, image_size: int | None = None) -> Tensor:
    """uint8 (H, W), the class of each pixel of a mask's file; nearest neighbors where resized.

    Raises BadItem, naming the file, if it cannot be read or has a value that means no class.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.mode not in ("1", "L", "P"):
                raise bad(path, f"is a mask in mode {image.mode}; masks are gray or have a palette")
            gray = image.convert("L") if image.mode == "1" else image
            if image_size is not None:
                gray = gray.resize((image_size, image_size), Image.Resampling.NEAREST)
            values = np.array(gray)
    except UNREADABLE_IMAGE as error:
        raise bad(path, f"cannot be decoded ({decode_error(error)})") from None
    classes = table[values]
    if (classes == NO_CLASS).any():
        value = int(values[classes == NO_CLASS][0])
        raise bad(
            path, f"has the value {value}, which is no class; name values in data.mask_values"
        )
    return torch.from_numpy(classes)
