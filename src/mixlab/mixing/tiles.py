"""Tiles: a mask of several rectangles that share the picture among the sources."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab.errors import UserError


@dataclass(frozen=True, eq=False)
class Tiles:
    """One rectangle per row and source, which is all that is seen of it; together they cover all.

    Kept as edges like `Boxes`, and painted only when applied; on a CPU usually never.

    Attributes:
        edges: (B|1, K, 4) int64 on the CPU: top, bottom, left, right in pixels, ends excluded. No
            two tiles of a row overlap. An empty one hides its source.
        height, width: of the pictures, in pixels.
    """

    edges: Tensor
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(B|1, K, H, W), as it is painted."""
        return (*self.edges.shape[:2], self.height, self.width)

    def paint(self, device: torch.device | str = "cpu") -> Tensor:
        """The mask itself: (B|1, K, H, W) float32."""
        edges = self.edges.to(device, non_blocking=True)
        top, bottom, left, right = edges[:, :, None, None].unbind(-1)
        row = torch.arange(self.height, device=device)[:, None]
        column = torch.arange(self.width, device=device)
        return ((row >= top) & (row < bottom) & (column >= left) & (column < right)).float()

    def mean(self) -> Tensor:
        """Mean of the mask of each source: (B|1, K) float32, exact, without painting."""
        sides = np.diff(self.edges.numpy().reshape(*self.edges.shape[:2], 2, 2), axis=3)
        area_fraction = sides.prod(axis=(2, 3)) / (self.height * self.width)
        return torch.from_numpy(area_fraction.astype(np.float32))

    def layers(self) -> Tensor:
        """(B|1, K, 4): where each source is seen, as for `Boxes`."""
        return self.edges

    def where(self, rows: Tensor) -> "Tiles":
        """The same tiles in the chosen `rows` (B,) bool; the others stay unchanged."""
        own = torch.zeros_like(self.edges[:1])
        own[:, 0] = torch.tensor([0, self.height, 0, self.width], device="cpu")
        edges = torch.where(rows[:, None, None], self.edges, own)
        return Tiles(edges, self.height, self.width)

    def check_size(self, images: Tensor) -> None:
        """Raise ValueError unless the last two dimensions of `images` are the tiles' picture."""
        check_drawn_size(images, self.height, self.width)


def quadrants(point: np.ndarray, height: int, width: int) -> np.ndarray:
    """(N, 4, 4) int64 edges of the four quadrants around points (2, N) int64.

    Top left, top right, bottom left, bottom right; a point is the first row and the first column
    of the last of them.
    """
    row, column = point
    zero = np.zeros_like(row)
    upper, lower = (zero, row), (row, np.full_like(row, height))
    left, right = (zero, column), (column, np.full_like(column, width))
    quarters = [(*rows, *columns) for rows in (upper, lower) for columns in (left, right)]
    return np.array(quarters, dtype=np.int64).transpose(2, 0, 1)


def check_drawn_size(images: Tensor, height: int, width: int) -> None:
    """Raise UserError unless the last two dimensions of `images` are `height` and `width`."""
    if images.ndim < 3 or images.shape[-2:] != (height, width):
        size, got = f"{height}x{width}", tuple(images.shape)
        raise UserError(f"drawn for pictures of {size}, got shape {got}; draw for this one")
