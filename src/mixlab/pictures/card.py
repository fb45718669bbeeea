"""A card's picture: two rows, what a method makes of the first one, and its mask, in one line."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from mixlab.mixing import Blend
from mixlab.mixing.masks import is_flat, painted
from mixlab.pictures.captions import ACCENT, FAINT, INK, Line, label_lines
from mixlab.pictures.sheet import RULE, Cell, frame, sheet
from mixlab.pictures.tiles import tiles

CARD_SIDE = 84  # pixels of a tile
PAGE_COLORS = 64  # of a whole picture, which is then a quarter of the size


class MixedRow(NamedTuple):
    """What a method makes of a row.

    Attributes:
        image: (C, H, W) float.
        target: (num_classes,).
        mask: (1, H, W) weight that the row keeps at each pixel, or None if it is the same at all.
        title: a word or two above the label.
    """

    image: Tensor
    target: Tensor
    mask: Tensor | None
    title: str


def card(
    images: Tensor, outcomes: Sequence[MixedRow], class_names: Sequence[str], note: str = ""
) -> Image.Image:
    """A row and its partner, images (2, C, H, W), and what methods make of the row, each framed.

    `note` stands below each label. A mask is white where the row is seen, black where it is not.
    """
    cells = [
        Cell(tile, [Line([name], INK)])
        for tile, name in zip(tiles(images, side=CARD_SIDE, slack=1), class_names, strict=True)
    ]
    for outcome in outcomes:
        (tile,) = tiles(outcome.image[None], images, side=CARD_SIDE, slack=1)
        words = [Line([outcome.title], ACCENT), *label_lines(outcome.target, class_names)]
        cells.append(Cell(frame(tile), [*words, Line([note], FAINT, 11)] if note else words))
        if outcome.mask is not None:
            (tile,) = tiles(outcome.mask[None], torch.tensor([0.0, 1.0]), side=CARD_SIDE, slack=1)
            words = ["mask:", f"white is {class_names[0]}"]
            ImageDraw.Draw(tile).rectangle((0, 0, tile.width - 1, tile.height - 1), outline=RULE)
            cells.append(Cell(tile, [Line([each], FAINT, 11) for each in words]))
    return sheet([cells]).quantize(PAGE_COLORS, dither=Image.Dither.NONE)


def own_weight(blend: Blend, shape: Sequence[int]) -> Tensor | None:
    """(1, H, W): the first row's weight at each pixel of an image (C, H, W); None where flat."""
    if is_flat(blend.mask):
        return None
    mask = painted(blend.mask, "cpu")[0].float()
    own = mask[blend.source[0] == blend.source[0, 0]].sum(0)
    return own.broadcast_to(shape)[:1]
