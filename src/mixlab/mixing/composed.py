"""Composed: the mask of one blend applied to the result of another."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from mixlab.mixing.boxes import Boxes
from mixlab.mixing.masks import Mask, mean_share, painted, where_rows


class Step(Protocol):
    """What is asked of the two blends."""

    @property
    def source(self) -> Tensor: ...
    @property
    def mask(self) -> Mask: ...
    @property
    def num_rows(self) -> int: ...
    @property
    def num_sources(self) -> int: ...
    def images(self, images: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Composed:
    """Kept as the two blends, which are applied one after the other; painted only where asked for.

    Suffixes name axes as in `combine.compose`, S the trailing dimensions of a mask.

    Attributes:
        first, second: the blends; rows from `first.num_rows` on reach `second` unmixed.
        chosen: None or (B,) bool on the CPU; the other rows stay unchanged.
    """

    first: Step
    second: Step
    chosen: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, K * J): its rows and sources, without the size of a picture."""
        return (self.second.num_rows, self.first.num_sources * self.second.num_sources)

    def apply(self, images: Tensor) -> Tensor:
        """The mixture of (R, ...) float `images`: two passes, and no mask of all their sources."""
        num_rows = self.first.num_rows
        once = self.first.images(images)
        if len(images) > num_rows:
            once = torch.cat([once, images[num_rows:]])
        mixed = self.second.images(once)
        if self.chosen is None:
            return mixed
        chosen = self.chosen.view(-1, *[1] * (images.ndim - 1))
        chosen = chosen.to(images.device, non_blocking=True)
        return torch.where(chosen, mixed, images[: len(mixed)])

    def paint(self, device: torch.device | str = "cpu") -> Tensor:
        """The mask itself: (B, K * J, *S) float32."""
        mask_RJS, mask_BKS = painted(self.first.mask, device), painted(self.second.mask, device)
        guest_J = torch.eye(1, self.first.num_sources, device="cpu")[0]
        guest_JS = guest_J.view(-1, *[1] * (mask_RJS.ndim - 2)).to(mask_RJS, non_blocking=True)
        source_BK, num_rows = self.second.source, self.first.num_rows
        mask_BLS = product(reached(mask_RJS, source_BK, num_rows, guest_JS), mask_BKS)
        if self.chosen is None:
            return mask_BLS
        return where_rows(self.chosen, mask_BLS, torch.eye(1, mask_BLS.shape[1], device="cpu"))

    def mean(self, device: torch.device | str = "cpu") -> Tensor:
        """Mean of the mask of each source: (B, K * J) float32, exact; painted unless of boxes."""
        inner, outer = self.first.mask, self.second.mask
        if self.chosen is not None or not (isinstance(inner, Boxes) and isinstance(outer, Boxes)):
            return mean_share(self.paint(device))
        guest_J = torch.eye(1, self.first.num_sources, device="cpu")[0]
        return _mean_of_boxes(inner, outer, self.second.source, self.first.num_rows, guest_J)

    def where(self, rows: Tensor) -> "Composed":
        """The same mask in the chosen `rows` (B,) bool; the others stay unchanged."""
        chosen = rows if self.chosen is None else rows & self.chosen
        return replace(self, chosen=chosen)


def reached(values: Tensor, source_BK: Tensor, num_rows: int, guest: Tensor) -> Tensor:
    """(B, K, ...): `values` (R|1, ...) of the rows in `source_BK`, `guest` from row R on."""
    guest_BK = source_BK >= num_rows
    own_BK = torch.where(guest_BK, 0, source_BK).to(values.device, non_blocking=True)
    found = expand_rows(values, num_rows)[own_BK]
    if not guest_BK.any():
        return found
    is_guest = guest_BK.view(*source_BK.shape, *[1] * (found.ndim - 2))
    return torch.where(is_guest.to(values.device, non_blocking=True), guest, found)


def product(inner_BKJS: Tensor, outer_BKS: Tensor) -> Tensor:
    """(B, K * J, *S): inner weights times outer ones (B|1, K, *S); either may lack the axes S."""
    rank = max(inner_BKJS.ndim - 1, outer_BKS.ndim)
    inner = with_rank(inner_BKJS.flatten(0, 1), rank).unflatten(0, inner_BKJS.shape[:2])
    return (inner * with_rank(outer_BKS, rank)[:, :, None]).flatten(1, 2)


def with_rank(mask: Tensor, rank: int) -> Tensor:
    """`mask` (B, K, *S) with ones before S, up to `rank` dimensions."""
    rows, sources, *size = mask.shape
    return mask.reshape(rows, sources, *[1] * (rank - mask.ndim), *size)


def expand_rows(values: Tensor, num_rows: int) -> Tensor:
    """`values` (num_rows|1, ...) seen as (num_rows, ...)."""
    return values.expand(num_rows, *values.shape[1:])


def _mean_of_boxes(
    inner: Boxes, outer: Boxes, source_BK: Tensor, num_rows: int, guest_J: Tensor
) -> Tensor:
    """(B, K * J) float32: the mean of the composed mask of boxes in boxes, without painting it.

    A picture has four parts: within both boxes, one of them, or none.
    """
    no_box = torch.zeros(4, dtype=torch.int64, device="cpu")
    edges_BK4 = reached(inner.edges, source_BK, num_rows, no_box)
    outside_BKJ = reached(inner.outside, source_BK, num_rows, guest_J)
    both = _area(_overlap(edges_BK4, outer.edges[:, None]))[..., None]
    only_inner = _area(edges_BK4)[..., None] - both
    only_outer = _area(outer.edges)[:, None, None] - both
    neither = inner.height * inner.width - both - only_inner - only_outer
    second_J, second_K = (
        (torch.arange(mask.outside.shape[1], device="cpu") == 1).float() for mask in (inner, outer)
    )
    within_K1, without_BK1 = second_K[:, None], outer.outside[..., None]
    total = (second_J * within_K1).double() * both + (second_J * without_BK1).double() * only_inner
    total += (outside_BKJ * within_K1).double() * only_outer
    total += (outside_BKJ * without_BK1).double() * neither
    return (total / (inner.height * inner.width)).float().flatten(1)


def _overlap(one: Tensor, other: Tensor) -> Tensor:
    """The common part of boxes (..., 4) of top, bottom, left and right."""
    low, high = torch.maximum(one, other), torch.minimum(one, other)
    return torch.stack([low[..., 0], high[..., 1], low[..., 2], high[..., 3]], -1)


def _area(edges: Tensor) -> Tensor:
    """(...): the pixels in boxes (..., 4), 0 where the end comes before the start."""
    sides = (edges[..., 1::2] - edges[..., 0::2]).clamp_min(0)
    return sides[..., 0] * sides[..., 1]
