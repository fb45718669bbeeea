"""What a blend is made of and what it mixes: checked for every batch, so shapes and types alone."""

import numpy as np
from torch import Tensor

from mixlab.errors import UserError
from mixlab.mixing.masks import Mask


def check_partner_numbers(partners: object) -> None:
    """Raise UserError unless partners are one row number for each row."""
    if isinstance(partners, np.ndarray) and partners.dtype == np.int64 and partners.ndim == 1:
        return  # as rules give them, for every batch
    if not isinstance(partners, np.ndarray | Tensor):
        value = f" {partners}" if isinstance(partners, int) else ""  # a list may be long
        got = f"{type(partners).__name__}{value}"
        remedy = "give partner_columns(partners, images, rng)[:, 0]"
    elif partners.ndim != 1:
        got, remedy = f"shape {tuple(partners.shape)}", "take a column, partners[:, 0]"
    elif not _dtype(partners).startswith(("int", "uint")):
        got, remedy = _dtype(partners), "give the numbers of rows, not a weight or a mask of them"
    else:
        return
    raise UserError(f"partners must be a (B,) int64 array or tensor, got {got}; {remedy}")


def check_blend_shapes(source: Tensor, mask: Mask, share: Tensor | None) -> None:
    """Raise UserError unless mask and share have the rows and the sources of `source`.

    It compares shapes alone, since it runs for every batch, whose mask may be on a GPU.
    """
    if source.ndim != 2:
        got = tuple(source.shape)
        raise UserError(f"source must be (rows, sources), got {got}; make each source a column")
    rows, sources = source.shape
    got = mask.shape
    if len(got) < 2 or got[1] != sources or got[0] not in (1, rows):
        raise UserError(
            f"mask must be (rows, sources, ...), here ({rows} or 1, {sources}, ...), got "
            f"{tuple(got)}; stack a mask for each source in dimension 1"
        )
    if share is not None:
        got = share.shape
        if got[1:] != (sources,) or got[0] not in (1, rows):
            raise UserError(
                f"share must be (rows, sources), here ({rows} or 1, {sources}), got {tuple(got)}; "
                "give a column for each source, or leave share out for the mean of the mask"
            )


def check_float_images(images: Tensor) -> None:
    """Raise UserError for images that are not float."""
    if not images.is_floating_point():
        remedy = "mix after images.float() / 255"
        raise UserError(f"images must be float, got {_dtype(images)}; {remedy}")


def check_float_planes(targets: Tensor) -> None:
    """Raise UserError for masks of class numbers in place of planes (R, C, H, W)."""
    if not targets.is_floating_point():
        got = f"{_dtype(targets)} of shape {tuple(targets.shape)}"
        remedy = "soft_labels makes them of class numbers"
        raise UserError(f"masks must be float (R, C, H, W), one a class, got {got}; {remedy}")


def float_targets(targets: Tensor) -> Tensor:
    """`targets` (R, C) in float32 at least; UserError for class numbers."""
    if not targets.is_floating_point() or targets.ndim < 2:
        got = f"{_dtype(targets)} of shape {tuple(targets.shape)}"
        remedy = "one-hot class numbers, and give single values as (R, 1)"
        raise UserError(f"targets must be float (R, C), got {got}; {remedy}")
    return targets.float() if targets.itemsize < 4 else targets


def _dtype(values: np.ndarray | Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")
