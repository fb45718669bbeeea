"""From tensors to tiles: images of any range and size as small pictures."""

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from mixlab.errors import UserError
from mixlab.pictures.captions import INK, class_name, text_width, write
from mixlab.pictures.parts import Parts, unmixed
from mixlab.pictures.sheet import MARGIN, PAGE_WIDTH, PAPER

if TYPE_CHECKING:
    from mixlab.pictures.looks import Look

TILE = 96  # pixels aimed at for the longer side
FRAME_ROOM = 4  # pixels around bars, lines and dots, so that a frame hides none of them


def tiles(
    images: Tensor,
    like: Tensor | None = None,
    *,
    side: int = TILE,
    slack: float = 1.5,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    look: "Look | None" = None,
    parts: Parts | None = None,
) -> list[Image.Image]:
    """Images (N, C, H, W) as tiles of about `side` pixels, or other rows as their look says.

    Args:
        slack: an image of at most this many times `side` pixels is shown as it is.
        like, mean, std: see `to_bytes`.
        look: of rows that are no images.
        parts: what each of those rows is made of; all of itself where None.

    Raises:
        ValueError: without a look, if the images are not (N, C, H, W).
    """
    if look is not None:
        rows = images.detach().float().cpu()
        parts = parts or unmixed(rows, [0] * len(rows))
        drawn = look.tiles(rows, rows if like is None else like.float().cpu(), parts, side)
        return [ImageOps.expand(each, FRAME_ROOM, PAPER) for each in drawn]
    check_pictures(images)
    return [tile(pixels, side, slack) for pixels in to_bytes(images, like, mean=mean, std=std)]


def check_pictures(images: Tensor) -> None:
    """Raise ValueError unless images are (N, C, H, W)."""
    if images.ndim != 4:
        shape = tuple(images.shape)
        raise UserError(f"a picture needs images of shape (B, C, H, W), got {shape}")


def to_bytes(
    images: Tensor,
    like: Tensor | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Tensor:
    """Bring images (N, C, H, W) to uint8 (N, H, W, 3).

    Args:
        like: images that set the range, by default the images themselves: if they are in [0, 1],
            values are shown as they are, else stretched from the smallest to the largest.
        mean, std: of a normalization to undo instead, a number per channel.
    """
    images = images.cpu().float()
    if mean is not None and std is not None:
        images = images * torch.tensor(std).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)
    else:
        low, high = (float(x) for x in (images if like is None else like).aminmax())
        if low < 0 or high > 1:
            images = (images - low) / max(high - low, 1e-12)
    if images.shape[1] not in (1, 3):
        images = images.mean(dim=1, keepdim=True)
    images = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    return (images.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8)


def tile(pixels: Tensor, side: int = TILE, slack: float = 1.5) -> Image.Image:
    """An image (H, W, 3) at about `side` pixels; small ones grow by whole pixels, unblurred."""
    height, width, _ = pixels.shape
    image = Image.fromarray(pixels.contiguous().numpy())
    if max(height, width) > slack * side:
        factor = side / max(height, width)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        return image.resize(size, Image.Resampling.BOX)
    factor = max(1, round(side / max(height, width)))
    if factor > 1 and factor * max(height, width) > slack * side:
        factor -= 1
    return image.resize((width * factor, height * factor), Image.Resampling.NEAREST)


GROUND = (0.18, 0.19, 0.21)  # color of class 0, usually the background
GOLDEN = 0.618034  # of a turn between two hues, so that neighboring classes look different
LEGEND, SWATCH = 20, 11  # in pixels: a line of the legend, a color's square


def colors(num_classes: int) -> Tensor:
    """(num_classes, 3) RGB in [0, 1]."""
    hues = [colorsys.hsv_to_rgb(k * GOLDEN % 1, 0.6, 0.95) for k in range(1, num_classes)]
    return torch.tensor([GROUND, *hues])


def colored(planes: Tensor) -> Tensor:
    """Masks (B, num_classes, H, W) of shares as images (B, 3, H, W) in [0, 1]."""
    planes = planes.detach().float().cpu()
    return torch.einsum("bkhw,kc->bchw", planes, colors(planes.shape[1])).clamp(0, 1)


def legend(num_classes: int, class_names: Sequence[str] | None, width: int) -> Image.Image:
    """The color of each class, in as many lines as needed."""
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
    for name, color, (left, top) in zip(names, colors(num_classes), places, strict=True):
        shade = tuple(int(part) for part in (color * 255).round())
        pen.rectangle((left, top + 2, left + SWATCH - 1, top + SWATCH + 1), shade)
        write(pen, (left + SWATCH + 6, top), name, INK, 12)
    return page
