"""Cutout, random erasing, grid mask, hide-and-seek: parts of an image are black, gray or noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import tau

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.data.augmentation.augmentation import Occasional, gray, white
from mixlab.data.augmentation.transforms import as_pixels, normal_like
from mixlab.mixing.boxes import Boxes, clipped_boxes
from mixlab.mixing.cells import equal_cells
from mixlab.mixing.masks import sent_to

ERASE_FILLS = ("black", "gray", "noise")
BOX_ATTEMPTS = 10  # to draw a box that fits, as in torchvision
GRIDS = checks.Allowed(
    "a list of whole numbers from 1",
    lambda given: checks.is_list(given) and given and all(map(checks.whole(1).contains, given)),
)


@dataclass(frozen=True)
class Erasing(Occasional):
    """Hides part of each image.

    Attributes:
        fill: `black`, `gray` (half of white), or `noise`: normal around gray, with a standard
            deviation of a quarter of white, for each pixel of each channel.
    """

    fill: str = "black"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of(*ERASE_FILLS).check("augmentation.fill", self.fill)

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("erase",)

    def filled(self, images: Tensor, hidden: Tensor, rng: np.random.Generator) -> Tensor:
        """A copy in which the pixels of bool (B, 1, H, W) `hidden` are filled."""
        if self.fill == "black":
            return images.masked_fill(hidden, 0)
        if self.fill == "gray":
            return images.masked_fill(hidden, gray(images))
        noise = normal_like(images, rng).mul_(white(images) / 4).add_(gray(images))
        return torch.where(hidden, as_pixels(noise, images), images)


@dataclass(frozen=True)
class Cutout(Erasing):
    """A square around a uniform pixel, clipped at the border (arXiv:1708.04552).

    Attributes:
        side_fraction: in [0, 1], side of the square as a fraction of the image's shorter side,
            rounded down to an even number of pixels; the paper's 16 of CIFAR-10's 32 are 0.5.
    """

    side_fraction: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number(0, 1).check("augmentation.side_fraction", self.side_fraction)

    def changed(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        height, width = images.shape[-2:]
        side = np.full((1, 1), self.side_fraction * min(height, width))
        edges = clipped_boxes(side, len(images), np.array([height, width]), rng)
        return self.filled(images, inside(edges, images), rng)


@dataclass(frozen=True)
class RandomErasing(Erasing):
    """A rectangle of random size, shape and place, wholly inside (arXiv:1708.04896, algorithm 1).

    Attributes:
        area: [lowest, highest] in [0, 1], as a fraction of the image; drawn uniformly.
        aspect: [lowest, highest] in [0.01, 100], height / width; drawn uniformly in its logarithm.
    """

    area: Sequence[float] = (0.02, 0.33)
    aspect: Sequence[float] = (0.3, 3.3)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.span(0, 1).check("augmentation.area", self.area)
        checks.span(0.01, 100).check("augmentation.aspect", self.aspect)

    def changed(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        edges = self.edges(len(images), np.array(images.shape[-2:]), rng)
        return self.filled(images, inside(torch.from_numpy(edges), images), rng)

    def edges(self, count: int, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64 (count, 4): top, bottom, left, right; empty where no attempt fits into `size`."""
        area = rng.uniform(*self.area, size=(BOX_ATTEMPTS, count)) * size.prod()
        aspect = np.exp(rng.uniform(*np.log(self.aspect), size=(BOX_ATTEMPTS, count)))
        sides = np.rint(np.sqrt([area * aspect, area / aspect])).astype(np.int64)
        fits = (sides < size[:, None, None]).all(axis=0)
        sides = sides[:, fits.argmax(axis=0), np.arange(count)] * fits.any(axis=0)
        start = (rng.random((2, count)) * (size[:, None] - sides + 1)).astype(np.int64)
        return np.stack([start, start + sides], axis=1).reshape(4, count).T.copy()


def inside(edges: Tensor, images: Tensor) -> Tensor:
    """bool (B, 1, H, W): the pixels within boxes (B, 4) of top, bottom, left and right."""
    height, width = images.shape[-2:]
    return Boxes(edges, torch.ones(1, 1), height, width).paint(images.device) == 0


@dataclass(frozen=True)
class GridMask(Erasing):
    """Hides a square in each cell of a grid; cell, square, offset and turn are random per image.

    Attributes:
        cell: [lowest, highest] in [0.01, 2], side of a cell as a fraction of the shorter side.
        ratio: [lowest, highest] in [0, 1], side of the hidden square as a fraction of the cell's.
        turn: in [0, 0.5], the most that the grid is turned either way, in full turns.
    """

    cell: Sequence[float] = (0.3, 0.5)
    ratio: Sequence[float] = (0.0, 0.5)
    turn: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.span(0.01, 2).check("augmentation.cell", self.cell)
        checks.span(0, 1).check("augmentation.ratio", self.ratio)
        checks.number(0, 0.5).check("augmentation.turn", self.turn)

    def changed(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        count, (height, width) = len(images), images.shape[-2:]
        cell = rng.uniform(*self.cell, size=count) * min(height, width)
        ratio = rng.uniform(*self.ratio, size=count)
        angle = rng.uniform(-tau * self.turn, tau * self.turn, size=count)
        shift = rng.random((2, count))
        drawn = np.stack([np.cos(angle) / cell, np.sin(angle) / cell, *shift, ratio])
        knobs = torch.from_numpy(drawn.astype(np.float32)).to(images.device, non_blocking=True)
        hidden = hidden_squares(knobs, height, width)
        return self.filled(images, hidden, rng)


def hidden_squares(drawn: Tensor, height: int, width: int) -> Tensor:
    """bool (B, 1, H, W): the hidden squares.

    Args:
        drawn: float32 (5, B), on the device of the images: cosine and sine of the turn, both
            divided by the cell's side in pixels; shift to the right and down, in cells; ratio.
        height, width: in pixels.
    """
    cosine, sine, right, down, ratio = drawn[:, :, None, None]
    y = torch.arange(height, device=drawn.device)[:, None] - (height - 1) / 2
    x = torch.arange(width, device=drawn.device) - (width - 1) / 2
    across = (cosine * x - sine * y + right).remainder(1) < ratio
    return (across & ((sine * x + cosine * y + down).remainder(1) < ratio))[:, None]


@dataclass(frozen=True)
class HideAndSeek(Erasing):
    """Hides each cell of a grid by chance; the grid is drawn per image (arXiv:1704.04933, 3.1).

    Attributes:
        cells: along each side, one of the list for each image, all equally likely; the authors'
            squares of 56, 44, 32 and 16 of ImageNet's 224 pixels are 4, 5, 7 and 14 cells.
        hidden: in [0, 1], the chance that a cell is hidden.

    The paper fills with the mean color of the data, to which `fill=gray` is nearest.
    """

    cells: Sequence[int] = (4, 5, 7, 14)
    hidden: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        GRIDS.check("augmentation.cells", self.cells)
        checks.number(0, 1).check("augmentation.hidden", self.hidden)

    def changed(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        count, most = len(images), max(self.cells)
        grid = rng.integers(len(self.cells), size=count)
        hidden = rng.random((count, most, most)) < self.hidden
        cell_of = [
            np.stack([equal_cells(side, each) for each in self.cells])[grid]
            for side in images.shape[-2:]
        ]
        row, column = cell_of
        pixels = hidden[np.arange(count)[:, None, None], row[:, :, None], column[:, None]]
        return self.filled(images, sent_to(torch.from_numpy(pixels)[:, None], images.device), rng)
