"""Blends of blends: one chosen for each row, or one applied to the result of another."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mixlab.errors import UserError
from mixlab.mixing.blend import Blend
from mixlab.mixing.masks import Boxes, Mask, is_flat, mean_share, painted


def select(choice: np.ndarray, blends: Sequence[Blend], device: torch.device | str) -> Blend:
    """Row b of `blends[choice[b]]`; `choice` is (B,) int64.

    Blends of fewer sources get more, of weight zero. Masks that have to be painted are painted on
    `device`; boxes and flat masks of as many sources need not be.
    """
    num_sources = max(blend.num_sources for blend in blends)
    widened = [_widened(blend, num_sources, device) for blend in blends]
    chosen, rows = torch.from_numpy(choice), torch.arange(len(choice))
    source = torch.stack([blend.source for blend in widened])[chosen, rows]
    share = torch.stack([_expand_rows(blend.share, len(rows)) for blend in widened])[chosen, rows]
    masks = [blend.mask for blend in widened]
    if any(isinstance(mask, Tensor) and not is_flat(mask) for mask in masks):
        mask = _select_painted(chosen, [painted(mask, device) for mask in masks])
    else:
        mask = _select_boxes(chosen, masks)
    return Blend(source, mask, share, _select_warp(chosen, widened))


def compose(first: Blend, second: Blend, device: torch.device | str) -> Blend:
    """`second` applied to the result of `first`, and to guests as they are; painted on `device`.

    Shares are the mean of the composed mask, which for two cuts is not the product of theirs; they
    multiply where a label was not the mean of its mask (cutout keeps the whole label). On a GPU,
    the mean over two cuts waits for it.
    """
    if second.warp is not None:
        raise UserError("in a Sequence a method that warps its partners must come first; move it")
    through, num_rows = second.source, first.num_rows
    own = torch.eye(1, first.num_sources)[0]  # what a guest is made of
    source = _reached(first.source, through, num_rows, through[:, :, None]).flatten(1)
    share = _product(_reached(first.share, through, num_rows, own), second.share)
    inner, outer = painted(first.mask, device), painted(second.mask, device)
    own = own.view(-1, *[1] * (inner.ndim - 2)).to(inner)
    mask = _product(_reached(inner, through, num_rows, own), outer)
    if not is_flat(first.mask) and not is_flat(second.mask):
        by_area = _reached(_by_area(first), through, num_rows, torch.tensor(True)).all(1)
        share = torch.where(by_area & _by_area(second), mean_share(mask), share)
    warp = first.warp
    if warp is not None:
        warp = _reached(warp, through, num_rows, torch.eye(2, 3)).flatten(1, 2)
    return Blend(source, mask, share, warp)


def _expand_rows(values: Tensor, num_rows: int) -> Tensor:
    """`values` (num_rows|1, ...) seen as (num_rows, ...)."""
    return values.expand(num_rows, *values.shape[1:])


def _widened(blend: Blend, num_sources: int, device: torch.device | str) -> Blend:
    """`blend` with more sources, each the row itself with weight zero."""
    missing = num_sources - blend.num_sources
    if not missing:
        return blend
    source = torch.cat([blend.source, blend.source[:, :1].expand(-1, missing)], 1)
    mask = painted(blend.mask, device) if isinstance(blend.mask, Boxes) else blend.mask
    mask, share = (
        torch.cat([weight, torch.zeros_like(weight[:, :1]).repeat_interleave(missing, 1)], 1)
        for weight in (mask, blend.share)
    )
    warp = blend.warp
    if warp is not None:
        warp = torch.cat([warp, torch.eye(2, 3).expand(len(warp), missing, 2, 3)], 1)
    return Blend(source, mask, share, warp)


def _select_boxes(chosen: Tensor, masks: list[Mask]) -> Mask:
    """Rows out of flat masks and boxes: a flat mask is what lies outside an empty box."""
    rows = torch.arange(len(chosen))
    flats = [mask.outside if isinstance(mask, Boxes) else mask for mask in masks]
    outside = torch.stack([_expand_rows(flat, len(rows)) for flat in flats])[chosen, rows]
    boxes = next((mask for mask in masks if isinstance(mask, Boxes)), None)
    if boxes is None:
        return outside
    empty = torch.zeros(1, 4, dtype=torch.int64)
    edges = [mask.edges if isinstance(mask, Boxes) else empty for mask in masks]
    edges = torch.stack([_expand_rows(each, len(rows)) for each in edges])[chosen, rows]
    return Boxes(edges, outside, boxes.height, boxes.width)


def _select_painted(chosen: Tensor, masks: list[Tensor]) -> Tensor:
    """Rows out of painted masks of any rank."""
    rank = max(mask.ndim for mask in masks)
    chosen = chosen.to(masks[0].device, non_blocking=True).view(-1, *[1] * (rank - 1))
    result = _aligned(masks[0], rank)
    for number, mask in enumerate(masks[1:], start=1):
        result = torch.where(chosen == number, _aligned(mask, rank), result)
    return result


def _select_warp(chosen: Tensor, blends: list[Blend]) -> Tensor | None:
    """Rows out of the blends' warps, the identity where a blend has none."""
    if all(blend.warp is None for blend in blends):
        return None
    still = torch.eye(2, 3).expand(*blends[0].source.shape, 2, 3)
    warps = [still if blend.warp is None else blend.warp for blend in blends]
    return torch.stack(warps)[chosen, torch.arange(len(chosen))]


def _reached(values: Tensor, through: Tensor, num_rows: int, guest: Tensor) -> Tensor:
    """(B, K2, ...): `values` (num_rows|1, ...) of rows `through` (B, K2), `guest` beyond them."""
    beyond = through >= num_rows
    reached = _expand_rows(values, num_rows)[torch.where(beyond, 0, through).to(values.device)]
    if not beyond.any():
        return reached
    beyond = beyond.view(*through.shape, *[1] * (reached.ndim - 2)).to(values.device)
    return torch.where(beyond, guest, reached)


def _product(inner: Tensor, outer: Tensor) -> Tensor:
    """(B, K2 * K1, *S): the weights `inner` (B, K2, K1, *S) times `outer` (B|1, K2, *S)."""
    rank = max(inner.ndim - 1, outer.ndim)
    inner = _aligned(inner.flatten(0, 1), rank).unflatten(0, inner.shape[:2])
    return (inner * _aligned(outer, rank)[:, :, None]).flatten(1, 2)


def _aligned(mask: Tensor, rank: int) -> Tensor:
    """`mask` (B, K, *S) with ones before S, up to `rank` dimensions."""
    rows, sources, *size = mask.shape
    return mask.reshape(rows, sources, *[1] * (rank - mask.ndim), *size)


def _by_area(blend: Blend) -> Tensor:
    """(B|1, 1) bool: where the shares of the label are the mean of the mask."""
    return ((blend.share - mean_share(blend.mask)).abs() < 1e-5).all(1, keepdim=True)
