"""Views: partners that are resized or moved, sampled bilinearly."""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixlab.mixing.masks import memory
from mixlab.mixing.resizing import lines_of, resized

STILL = torch.eye(2, 3, device="cpu")  # the affine view that leaves a picture as it is
SMALL_VIEW = 64 * 64  # pixels of a picture; below, resizing whole batches is faster than parts
WHOLE_PIXELS = 1e-3  # of a pixel: how exactly a view in 32 bits moves by whole pixels


def resized_into(edges: np.ndarray, height: int, width: int) -> Tensor:
    """Views (N, K, 2, 3) that show the whole of a picture within boxes (N, K, 4).

    As `F.interpolate` resizes it without corners aligned. Of an empty box nothing is seen.
    """
    size = np.array([width, height])
    low = edges[..., [2, 0]]  # x before y, as in affine views
    side = np.maximum(edges[..., [3, 1]] - low, 1)
    scale = size / side
    warp = np.zeros((*edges.shape[:-1], 2, 3), dtype=np.float32)
    warp[..., 0, 0], warp[..., 1, 1] = scale[..., 0], scale[..., 1]
    warp[..., 2] = (size - 2 * low) / side - 1
    return torch.from_numpy(warp)


def moved_by(shift: np.ndarray, height: int, width: int) -> Tensor:
    """Views (N, K, 2, 3) that show at each pixel the one that is `shift` below and to the right.

    `shift` (N, K, 2) int64, rows and columns in pixels.
    """
    warp = np.zeros((*shift.shape[:-1], 2, 3), dtype=np.float32)
    warp[..., :2] = np.eye(2)
    warp[..., 2] = 2 * shift[..., ::-1] / np.array([width, height])
    return torch.from_numpy(warp)


def with_own(warp: Tensor) -> Tensor:
    """`warp` (B, K, 2, 3) of the partners after the view of the row itself, which stays still."""
    return torch.cat([STILL.expand(len(warp), 1, 2, 3), warp], 1)


def warped(rows: Tensor, warp: Tensor) -> Tensor:
    """`rows` (B, C, ..., H, W) seen through `warp` (B, 2, 3); those under the identity stay exact.

    The positions have 32 bits at least: with 16 they would be off by a part of a pixel.
    """
    moved = (warp != STILL).flatten(1).any(1)
    is_looked_at = rows.device.type == "cpu" and not torch.compiler.is_compiling()
    if is_looked_at and not moved.any():
        return rows
    view = sampled(rows, grid(warp, rows))
    if is_looked_at and moved.all():
        return view
    ones = [1] * (rows.ndim - 1)
    return torch.where(moved.view(-1, *ones).to(rows.device, non_blocking=True), view, rows)


def sampled(rows: Tensor, positions: Tensor) -> Tensor:
    """`rows` (B, C, ..., H, W) at positions (B, h, w, 2): (B, C, ..., h, w)."""
    flat = as_pictures(rows.to(positions.dtype))
    view = F.grid_sample(flat, positions, padding_mode="border", align_corners=False)
    return view.to(rows.dtype).view(*rows.shape[:-2], *view.shape[-2:])


def as_pictures(rows: Tensor) -> Tensor:
    """`rows` (B, ..., H, W) as (B, N, H, W); a single plane (B, H, W) has an N of 1."""
    return rows.flatten(1, -3) if rows.ndim > 3 else rows[:, None]


def grid(warp: Tensor, rows: Tensor, box: tuple[int, int, int, int] | None = None) -> Tensor:
    """(B, h, w, 2): where each pixel of `box`, by default of the picture, is seen, as x and y.

    Positions are those of `F.affine_grid`, at a tenth of its cost on a CPU.
    """
    height, width = rows.shape[-2:]
    top, bottom, left, right = box or (0, height, 0, width)
    dtype = torch.promote_types(rows.dtype, torch.float32)
    y = torch.arange(2 * top + 1, 2 * bottom + 1, 2, dtype=dtype, device=rows.device)
    x = torch.arange(2 * left + 1, 2 * right + 1, 2, dtype=dtype, device=rows.device)
    y, x = (y / height - 1)[:, None], x / width - 1
    affine = warp.to(rows.device, dtype, non_blocking=True)[:, :, :, None, None]
    of_x, of_y, offset = affine.unbind(2)  # (B, 2, 1, 1) each
    lines = (of_x * x + offset) + of_y * y
    return lines.movedim(1, -1).contiguous()


def pasted_views(images: Tensor, source: Tensor, layers: Tensor, warp: Tensor) -> Tensor | None:
    """Each source's part of the picture, one over another, for the CPU: (B, ..., H, W).

    Only what is seen is sampled, and what is only moved is copied. None where whole pictures cost
    less, since each part is a call of its own: small ones that are resized.

    Args:
        source, warp: of a blend.
        layers: (B|1, K, 4), the part that is seen of each source.
    """
    height, width = images.shape[-2:]
    start, is_copy = copied_from(layers, warp, height, width)
    if height * width < SMALL_VIEW and not is_copy.all():
        return None
    mixed = torch.empty_like(images[: len(source)])
    target, origin = memory(mixed), memory(images)
    lines = lines_of(images)
    resized_once = lru_cache(maxsize=1)(lambda partner, size: resized(lines[partner], height, size))
    boxes, starts = layers.expand(*source.shape, 4).tolist(), start.tolist()
    partners, copies = source.tolist(), is_copy.tolist()
    wholes = shows_whole(layers, warp, height, width).tolist()
    for row, k in np.ndindex(*source.shape) if is_copy.all() else by_picture(partners, boxes):
        top, bottom, left, right = boxes[row][k]
        if top >= bottom or left >= right:
            continue
        part, partner = (row, ..., slice(top, bottom), slice(left, right)), partners[row][k]
        if copies[row][k]:
            y, x = starts[row][k]
            target[part] = origin[partner, ..., y : y + bottom - top, x : x + right - left]
        elif wholes[row][k]:
            view = resized_once(partner, (bottom - top, right - left)).to(images.dtype)
            target[part] = memory(view.view(*images.shape[1:-2], *view.shape[1:]))
        else:
            seen = grid(warp[row : row + 1, k], images, (top, bottom, left, right))
            target[part] = memory(sampled(images[partner : partner + 1], seen)[0])
    return mixed


def by_picture(partners: list[list[int]], boxes: list[list[list[int]]]) -> list[tuple[int, int]]:
    """Row and source of each part, the parts of a picture one after another.

    So it is still in the processor's cache, and each of its sizes is made once. The rows themselves
    come first, since others may lie over them.
    """

    def order(place: tuple[int, int]) -> tuple[bool, int, int, int]:
        row, k = place
        top, bottom, left, right = boxes[row][k]
        return k > 0, partners[row][k], bottom - top, right - left

    return sorted(np.ndindex(len(boxes), len(boxes[0])), key=order)


def shows_whole(layers: Tensor, warp: Tensor, height: int, width: int) -> Tensor:
    """(B, K) bool: the views that show all of a picture, resized into the part that is seen."""
    return (warp == resized_into(layers.numpy(), height, width)).flatten(2).all(2)


def copied_from(layers: Tensor, warp: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where the parts of moved pictures start in them, and which parts are only moved.

    That is by whole pixels and within the picture, or where nothing is seen.

    Returns:
        (B, K, 2) int64, row and column, and (B, K) bool.
    """
    offset = warp[..., 2].double().flip(-1) * torch.tensor([height, width], device="cpu") / 2
    shift = offset.round().long()
    is_copy = (warp[..., :2] == STILL[:, :2]).flatten(2).all(2)
    is_copy &= ((offset - shift).abs() < WHOLE_PIXELS).all(2)
    start, end = layers[..., 0::2] + shift, layers[..., 1::2] + shift
    is_copy &= ((start >= 0) & (end <= torch.tensor([height, width], device="cpu"))).all(2)
    is_empty = (layers[..., 0::2] >= layers[..., 1::2]).any(2)
    return start.clamp_min(0), is_copy | is_empty
