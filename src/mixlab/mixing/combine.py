"""Blends of blends: one chosen for each row, or one applied to the result of another."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mixlab.errors import UserError
from mixlab.mixing.blend import Blend
from mixlab.mixing.boxes import Boxes
from mixlab.mixing.composed import Composed, expand_rows, product, reached, with_rank
from mixlab.mixing.masks import Mask, is_flat, mean_share, painted


def select(choice: np.ndarray, blends: Sequence[Blend], device: torch.device | str) -> Blend:
    """Row b of `blends[choice[b]]`; `choice` is (B,) int64.

    Blends of fewer sources get more, of weight zero. Masks that have to be painted are painted on
    `device`; boxes and flat masks of as many sources need not be.
    """
    check_combinable(*blends)
    num_sources = max(blend.num_sources for blend in blends)
    widened = [_widened(blend, num_sources, device) for blend in blends]
    chosen, rows = torch.from_numpy(choice), torch.arange(len(choice), device="cpu")
    source = torch.stack([blend.source for blend in widened])[chosen, rows]
    share = torch.stack([expand_rows(blend.share, len(rows)) for blend in widened])[chosen, rows]
    masks = [blend.mask for blend in widened]
    if not all(isinstance(mask, Boxes) or is_flat(mask) for mask in masks):
        mask = _select_painted(chosen, [painted(mask, device) for mask in masks])
    else:
        mask = _select_boxes(chosen, masks)
    return Blend(source, mask, share, _select_warp(chosen, widened))


def compose(first: Blend, second: Blend, device: torch.device | str) -> Blend:
    """`second` applied to the result of `first`, as one blend.

    Suffixes name axes: R rows that come out of `first`, B out of `second`, J and K their sources,
    L = K * J the sources of the result. With two rows x and y:

        first   source [[0, 1], [1, 0]]  share [[.75, .25]]   x' = .75 x + .25 y, y' = .75 y + .25 x
        second  source [[0, 1], [1, 0]]  share [[.50, .50]]   x" = .50 x' + .50 y'
        result  row 0: source [0, 1, 1, 0], share [.375, .125, .375, .125]

    Guests, the rows from R on, reach `second` unmixed. Shares of the label are the mean of the
    composed mask, which for two cuts is not the product of their shares; they multiply where a
    label was not the mean of its mask (cutout keeps the whole label). Of two boxes that mean takes
    no painting; that of other cuts is painted on `device`, and a GPU is waited for.
    """
    check_combinable(first, second)
    if second.warp is not None:
        raise UserError("in a Sequence a method that warps its partners must come first; move it")
    source_BK, num_rows = second.source, first.num_rows
    guest_J = torch.eye(1, first.num_sources, device="cpu")[0]  # a guest is all of itself
    source_BKJ = reached(first.source, source_BK, num_rows, source_BK[:, :, None])
    share_BKJ = reached(first.share, source_BK, num_rows, guest_J)
    share_BL = product(share_BKJ, second.share)
    mask = Composed(first, second)
    if is_flat(first.mask) and is_flat(second.mask):
        mask = mask.paint()
    elif not is_flat(first.mask) and not is_flat(second.mask):
        by_area_BK1 = reached(
            _by_area(first, device), source_BK, num_rows, torch.tensor(True, device="cpu")
        )
        by_area_B1 = by_area_BK1.all(1) & _by_area(second, device)
        share_BL = torch.where(by_area_B1, mask.mean(device), share_BL)
    warp_BL23 = None
    if first.warp is not None:
        warp_BKJ23 = reached(first.warp, source_BK, num_rows, torch.eye(2, 3, device="cpu"))
        warp_BL23 = warp_BKJ23.flatten(1, 2)
    return Blend(source_BKJ.flatten(1), mask, share_BL, warp_BL23)


def check_combinable(*blends: Blend) -> None:
    """Raise UserError for a blend that does more to images than its masks say."""
    for blend in blends:
        if type(blend) is not Blend:
            kind = type(blend).__name__
            raise UserError(
                f"a {kind} cannot be combined with other methods, for it does more than masks "
                "say; use its method alone, or OneOf with per_row=false"
            )
        if blend.moves is not None:
            raise UserError(
                "a method that moves blocks cannot be part of a Sequence or of OneOf with "
                "per_row=true; give PuzzleMix transport_cost=null, or OneOf per_row=false"
            )


def _widened(blend: Blend, num_sources: int, device: torch.device | str) -> Blend:
    """`blend` with more sources, each the row itself with weight zero."""
    missing = num_sources - blend.num_sources
    if not missing:
        return blend
    source = torch.cat([blend.source, blend.source[:, :1].expand(-1, missing)], 1)
    mask = painted(blend.mask, "cpu" if is_flat(blend.mask) else device)
    mask, share = (
        torch.cat([weight, torch.zeros_like(weight[:, :1]).repeat_interleave(missing, 1)], 1)
        for weight in (mask, blend.share)
    )
    warp = blend.warp
    if warp is not None:
        warp = torch.cat([warp, torch.eye(2, 3, device="cpu").expand(len(warp), missing, 2, 3)], 1)
    return Blend(source, mask, share, warp)


def _select_boxes(chosen: Tensor, masks: list[Mask]) -> Mask:
    """Rows out of flat masks and boxes: a flat mask is what lies outside an empty box."""
    rows = torch.arange(len(chosen), device="cpu")
    flats = [mask.outside if isinstance(mask, Boxes) else painted(mask) for mask in masks]
    outside = torch.stack([expand_rows(flat, len(rows)) for flat in flats])[chosen, rows]
    boxes = next((mask for mask in masks if isinstance(mask, Boxes)), None)
    if boxes is None:
        return outside
    empty = torch.zeros(1, 4, dtype=torch.int64, device="cpu")
    edges = [mask.edges if isinstance(mask, Boxes) else empty for mask in masks]
    edges = torch.stack([expand_rows(each, len(rows)) for each in edges])[chosen, rows]
    return Boxes(edges, outside, boxes.height, boxes.width)


def _select_painted(chosen: Tensor, masks: list[Tensor]) -> Tensor:
    """Rows out of painted masks of any rank."""
    rank = max(mask.ndim for mask in masks)
    chosen = chosen.to(masks[0].device, non_blocking=True).view(-1, *[1] * (rank - 1))
    result = with_rank(masks[0], rank)
    for number, mask in enumerate(masks[1:], start=1):
        result = torch.where(chosen == number, with_rank(mask, rank), result)
    return result


def _select_warp(chosen: Tensor, blends: list[Blend]) -> Tensor | None:
    """Rows out of the blends' warps, the identity where a blend has none."""
    if all(blend.warp is None for blend in blends):
        return None
    still = torch.eye(2, 3, device="cpu").expand(*blends[0].source.shape, 2, 3)
    warps = [still if blend.warp is None else blend.warp for blend in blends]
    return torch.stack(warps)[chosen, torch.arange(len(chosen), device="cpu")]


def _by_area(blend: Blend, device: torch.device | str) -> Tensor:
    """(B|1, 1) bool: where the shares of the label are the mean of the mask."""
    mask = blend.mask
    mean = mask.mean(device) if isinstance(mask, Composed) else mean_share(mask)
    return ((blend.share - mean).abs() < 1e-5).all(1, keepdim=True)
