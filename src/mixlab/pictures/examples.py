"""Worked examples on two pictures: one blended with the other, and the methods side by side."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mixlab.mixing import Blend, Boxes
from mixlab.mixing.masks import OWN_OF_TWO
from mixlab.pictures.captions import ACCENT, FAINT, Line, label_line
from mixlab.pictures.parts import parts_of
from mixlab.pictures.sheet import Cell, cell_grid
from mixlab.pictures.tiles import tiles

SHARES = tuple(tenth / 10 for tenth in range(1, 10))
LARGE = 300  # pixels, at most, of a tile's longer side
Box = Sequence[int]  # top, bottom, left, right in pixels, ends excluded
Names = Sequence[str] | None


def blends(images: Tensor, targets: Tensor, class_names: Names = None, **scale) -> Image.Image:
    """The first of two pictures blended with the second at nine own shares, 0.1 to 0.9.

    Args:
        images, targets: (2, C, H, W), or (2, ...) with a look, and (2, num_classes).
        scale: `mean` and `std`, or `look`, as for `mixed_batch`; `like`, as for `tiles`.
    """
    return cell_grid(blend_cells(images, targets, class_names, **scale), columns=3)


def blend_cells(images: Tensor, targets: Tensor, class_names: Names, **scale) -> list[Cell]:
    """The captioned tiles of `blends`."""
    cells = []
    for share in SHARES:
        tile, label = first_mixed(blended(share), images, targets, class_names, **scale)
        cells.append(Cell(tile, [label, Line([f"own share {share:.1f}"], FAINT, 11)]))
    return cells


def methods_side_by_side(
    images: Tensor, targets: Tensor, box: Box, class_names: Names = None, **scale
) -> Image.Image:
    """One picture as it is, under mixup, under cutout and under CutMix, all of one strength.

    The box of cutout and CutMix is `box`, and mixup's own share is what lies outside of it.

    Args:
        images, targets: (2, C, H, W) and (2, num_classes): the picture and its partner.
        scale: `mean` and `std`, as for `mixed_batch`.
    """
    return cell_grid(method_cells(images, targets, box, class_names, **scale), columns=4)


def method_cells(
    images: Tensor, targets: Tensor, box: Box, class_names: Names, **scale
) -> list[Cell]:
    """The captioned tiles of `methods_side_by_side`."""
    cells = []
    for name, blend in of_one_strength(box, *images.shape[-2:]).items():
        tile, label = first_mixed(blend, images, targets, class_names, **scale)
        cells.append(Cell(tile, [Line([name], ACCENT, 13), label]))
    return cells


def first_mixed(
    blend: Blend,
    images: Tensor,
    targets: Tensor,
    class_names: Names,
    like: Tensor | None = None,
    **scale,
) -> tuple[Image.Image, Line]:
    """The tile and the label of what a blend makes of the first picture."""
    image, target = blend.mix(images, targets)
    parts = parts_of(blend, images, image[:1]) if scale.get("look") else None
    like = images if like is None else like
    (tile,) = tiles(image[:1], like, side=LARGE, slack=1, parts=parts, **scale)
    return tile, label_line(target[0], class_names)


def of_one_strength(box: Box, height: int, width: int) -> dict[str, Blend]:
    """By method, a blend of two pictures, each with the other as partner."""
    cutmix = pasted([1, 0], box, height, width)
    assert isinstance(cutmix.mask, Boxes)
    erased = Boxes(cutmix.mask.edges, torch.ones(1, 1), height, width)
    return {
        "original": Blend.identity(2),
        "mixup": blended(float(cutmix.share[0, 0])),
        "cutout": Blend(torch.arange(2)[:, None], erased, share=torch.ones(1, 1)),
        "CutMix": cutmix,
    }


def blended(share: float) -> Blend:
    """Each of two pictures keeps `share` of itself and takes the rest from the other."""
    return Blend.pair(np.array([1, 0]), torch.tensor([[share, 1 - share]]))


def pasted(partners: Sequence[int], box: Box, height: int, width: int) -> Blend:
    """CutMix with a given box: each row takes it from its partner."""
    boxes = Boxes(torch.tensor([list(box)], dtype=torch.int64), OWN_OF_TWO, height, width)
    return Blend.pair(np.array(partners, dtype=np.int64), boxes)
