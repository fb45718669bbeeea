"""Boxes: a rectangle of each picture, and the rules by which methods draw them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab.mixing.masks import OWN_OF_TWO, memory, pair_of_shares
from mixlab.mixing.tiles import check_drawn_size


@dataclass(frozen=True, eq=False)
class Boxes:
    """One rectangle per row, filled with the second source, or erased if there is only one source.

    Kept as edges and painted only when applied; on a CPU usually never.

    Attributes:
        edges: (B|1, 4) int64 on the CPU: top, bottom, left, right in pixels, ends excluded.
        outside: (B|1, K) float32 on the CPU, K 1 or 2: shares outside the box, summing to one.
        height, width: of the pictures, in pixels.
    """

    edges: Tensor
    outside: Tensor
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(B|1, K, H, W), as it is painted."""
        rows = max(self.edges.shape[0], self.outside.shape[0])  # `len` of a tensor takes longer
        return (rows, self.outside.shape[1], self.height, self.width)

    @property
    def shows_own(self) -> bool:
        """Whether each row itself is all that there is outside its box."""
        return self.outside is OWN_OF_TWO or bool((self.outside.numpy()[:, 0] == 1).all())

    def paint(self, device: torch.device | str = "cpu") -> Tensor:
        """The mask itself: (B|1, K, H, W) float32."""
        edges = self.edges.to(device, non_blocking=True)
        top, bottom, left, right = edges[:, :, None, None, None].unbind(1)
        row = torch.arange(self.height, device=device)[:, None]
        column = torch.arange(self.width, device=device)
        inside = (row >= top) & (row < bottom) & (column >= left) & (column < right)
        second = torch.arange(self.outside.shape[1], device=device).view(1, -1, 1, 1) == 1
        outside = self.outside.to(device, non_blocking=True)[:, :, None, None]
        return torch.where(inside, second.float(), outside)

    def mean(self) -> Tensor:
        """Mean of the mask of each source: (B|1, K) float32, exact, without painting."""
        top, bottom, left, right = self.edges.numpy().T
        area_fraction = (bottom - top) * (right - left) / (self.height * self.width)
        if self.outside is OWN_OF_TWO:  # as of every batch of CutMix
            return pair_of_shares(area_fraction)
        mean = self.outside.numpy() * (1 - area_fraction)[:, None]
        mean[:, 1:] += area_fraction[:, None]
        return torch.from_numpy(mean.astype(np.float32))

    def layers(self) -> Tensor | None:
        """(B|1, 2, 4): where each source is seen, the second over the first; None of mixtures."""
        if self.outside.shape[1] == 1 or not self.shows_own:
            return None
        whole = torch.tensor([0, self.height, 0, self.width], device="cpu")
        return torch.stack([whole.expand_as(self.edges), self.edges], 1)

    def where(self, rows: Tensor) -> "Boxes":
        """The same boxes in the chosen `rows` (B,) bool; the others stay unchanged."""
        own = torch.eye(1, self.outside.shape[1], device="cpu")
        outside = torch.where(rows[:, None], self.outside, own)
        return Boxes(self.edges * rows[:, None], outside, self.height, self.width)

    def check_size(self, images: Tensor) -> None:
        """Raise ValueError unless the last two dimensions of `images` are the boxes' picture."""
        check_drawn_size(images, self.height, self.width)

    def paste(self, images: Tensor, source: Tensor, mixed: Tensor | None = None) -> Tensor:
        """Copy the boxes into `mixed` (B, ..., H, W), by default into a new copy of the rows.

        For the CPU: nothing is painted, and only the pixels inside the boxes are copied.
        """
        if self.edges.shape[0] > 1:
            return self._paste_each(images, source, mixed)
        mixed = images[: source.shape[0]].clone() if mixed is None else mixed
        top, bottom, left, right = self.edges[0].tolist()
        box = (..., slice(top, bottom), slice(left, right))
        if source.shape[1] == 2:
            torch.index_select(images[box], 0, source[:, 1], out=mixed[box])
        else:
            mixed[box] = 0
        return mixed

    def _paste_each(self, images: Tensor, source: Tensor, mixed: Tensor | None) -> Tensor:
        """A box for each row, by numpy, whose slices cost a fraction of torch's.

        New rows are copied a quarter of a megabyte at a time, so that they are still in the
        processor's cache when their boxes are pasted.
        """
        num_rows, edges = len(source), self.edges.tolist()
        result = torch.empty_like(images[:num_rows]) if mixed is None else mixed
        target, origin = memory(result), memory(images)
        partners = source[:, 1].tolist() if source.shape[1] == 2 else None
        step = max(1, 2**18 // (images[0].numel() * images.itemsize))
        for start in range(0, num_rows, step):
            rows = range(start, min(start + step, num_rows))
            if mixed is None:
                target[start : rows.stop] = origin[start : rows.stop]
            for row in rows:
                top, bottom, left, right = edges[row]
                piece = origin[partners[row], ..., top:bottom, left:right] if partners else 0
                target[row, ..., top:bottom, left:right] = piece
        return result


def clipped_boxes(
    sides: np.ndarray, num_boxes: int, size: np.ndarray, rng: np.random.Generator, min_side: int = 0
) -> Tensor:
    """Edges (num_boxes, 4) of boxes around uniform pixels, clipped at the border.

    The rule of CutMix's authors: `sides` (num_boxes|1, 2|1), height and width in pixels, are
    rounded down to even numbers before clipping. `min_side=1` widens empty sides to one pixel.
    `size` (2,) is the height and width of the picture.
    """
    center = (rng.random((num_boxes, 2)) * size).astype(np.int64)
    return boxes_around(center, sides, size, min_side)


def boxes_around(
    center: np.ndarray, sides: np.ndarray, size: np.ndarray, min_side: int = 0
) -> Tensor:
    """Edges (B, 4) of boxes around the pixels `center` (B, 2), otherwise as `clipped_boxes`."""
    half = (sides / 2).astype(np.int64)
    edges = np.empty((len(center), 4), dtype=np.int64)
    low = np.maximum(center - half, 0, out=edges[:, 0::2])
    high = np.minimum(center + half, size, out=edges[:, 1::2])
    if min_side:
        np.maximum(high, low + min_side, out=high)
    return torch.from_numpy(edges)


def boxes_within(
    side_fraction: np.ndarray, size: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Edges (N, 4) int64 of boxes of `side_fraction` (N,) of the picture's sides, wholly inside.

    Sides are rounded to whole pixels, one at least; all places are equally likely. `size` (2,) is
    the height and width of the picture.
    """
    sides = np.maximum(np.rint(side_fraction[:, None] * size), 1).astype(np.int64)
    edges = np.empty((len(sides), 4), dtype=np.int64)
    edges[:, 0::2] = low = (rng.random(sides.shape) * (size - sides + 1)).astype(np.int64)
    edges[:, 1::2] = low + sides
    return edges
