"""Segmentation masks in colours: one for each class, mixed where a mask is soft."""

import colorsys
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from mixlab.reporting.pictures.captions import INK, class_name, font, text_width
from mixlab.reporting.pictures.sheet import MARGIN, PAGE_WIDTH, PAPER

GROUND = (0.18, 0.19, 0.21)  # of class 0, which usually is the background
GOLDEN = 0.618034  # of a turn from one hue to the next: those of neighbours lie far apart
LEGEND, SWATCH = 20, 11  # pixels: of a line of the legend, of a colour's square


def colours(num_classes: int) -> Tensor:
    """(num_classes, 3) in [0, 1]."""
    hues = [colorsys.hsv_to_rgb(k * GOLDEN % 1, 0.6, 0.95) for k in range(1, num_classes)]
    return torch.tensor([GROUND, *hues])


def coloured(planes: Tensor) -> Tensor:
    """Masks (B, num_classes, H, W) of shares as images (B, 3, H, W) in [0, 1]."""
    planes = planes.detach().float().cpu()
    return torch.einsum("bkhw,kc->bchw", planes, colours(planes.shape[1])).clamp(0, 1)


def legend(num_classes: int, class_names: Sequence[str] | None, width: int) -> Image.Image:
    """The colour of each class, in as many lines as it takes."""
    names = [class_name(number, class_names, 24) for number in range(num_classes)]
    places, left, top = [], MARGIN, MARGIN
    for name in names:
        room = SWATCH + 6 + int(text_width(name, 12)) + MARGIN
        if left > MARGIN and left + room > min(width, PAGE_WIDTH):
            left, top = MARGIN, top + LEGEND
        places.append((left, top))
        left += room
    page = Image.new("RGB", (width, top + LEGEND), PAPER)
    pen = ImageDraw.Draw(page)
    for name, colour, (left, top) in zip(names, colours(num_classes), places, strict=True):
        shade = tuple(int(part) for part in (colour * 255).round())
        pen.rectangle((left, top + 2, left + SWATCH - 1, top + SWATCH + 1), shade)
        pen.text((left + SWATCH + 6, top), name, fill=INK, font=font(12))
    return page
