"""Masks: the share of each source at each pixel, as tensors (B|1, K, *S), or painted later."""

from typing import Protocol, TypeGuard

import numpy as np
import torch
from torch import Tensor


class LazyMask(Protocol):
    """A mask that is painted only where that is asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def paint(self, device: torch.device | str = "cpu") -> Tensor: ...
    def mean(self) -> Tensor: ...
    def where(self, rows: Tensor) -> "LazyMask": ...


Mask = Tensor | LazyMask

# A flat mask: all of the row itself, none of its partner.
OWN_OF_TWO = torch.tensor([[1.0, 0.0]], device="cpu")


def is_flat(mask: Mask) -> TypeGuard[Tensor]:
    """Whether the mask is one number a row and source: (B|1, K)."""
    return isinstance(mask, Tensor) and mask.ndim == 2


def painted(mask: Mask, device: torch.device | str = "cpu") -> Tensor:
    """The mask as a tensor (B|1, K, *S) on `device`."""
    return placed(mask, device) if isinstance(mask, Tensor) else mask.paint(device)


def placed(values: Tensor, device: torch.device | str) -> Tensor:
    """`values` on `device`; a copy to the CPU is waited for, or it could be read too early.

    A small copy to a GPU is not waited for; for a large one see `sent_to`.
    """
    return values.to(device, non_blocking=torch.device(device).type != "cpu")


def mean_share(mask: Mask) -> Tensor:
    """Mean of the mask of each source: (B|1, K) float32 on the CPU."""
    if not isinstance(mask, Tensor):
        return mask.mean()
    if mask.ndim == 2:  # nearly always ready: two calls without effect would take 2 % of a mixup
        is_ready = mask.is_cpu and mask.dtype == torch.float32
        return mask if is_ready else mask.float().cpu()
    return pixel_mean(mask.flatten(2)).float().cpu()


def pixel_mean(values: Tensor) -> Tensor:
    """Mean over the last dimension, in float64 on a CPU.

    Not on a GPU, which sums many small parts in 32 bits: Apple's have no float64.
    """
    return values.mean(-1, dtype=summing_dtype(values))


def summing_dtype(values: Tensor) -> torch.dtype:
    """float64 on a CPU; on a GPU float32, and the dtype of wider `values`."""
    least = torch.float64 if values.device.type == "cpu" else torch.float32
    return torch.promote_types(values.dtype, least)


def where_rows(rows: Tensor, weight: Tensor, first: Tensor) -> Tensor:
    """`weight` (B|1, K, *S) in the chosen rows, all of it on the first source in the others."""
    ones = [1] * (weight.ndim - 2)
    chosen = rows.view(-1, 1, *ones).to(weight.device, non_blocking=True)
    return torch.where(chosen, weight, first.view(1, -1, *ones).to(weight, non_blocking=True))


def sent_to(values: Tensor, device: torch.device | str) -> Tensor:
    """`values` on `device`; through page-locked memory, so that a large copy waits for no GPU."""
    if torch.device(device).type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def pair_of_shares(partner: np.ndarray) -> Tensor:
    """(N, 2) float32: the shares of a row and its partner, of the partner's (N,)."""
    shares = np.empty((len(partner), 2), dtype=np.float32)
    shares[:, 0], shares[:, 1] = 1 - partner, partner
    return torch.from_numpy(shares)


def memory(images: Tensor) -> np.ndarray:
    """The memory of `images`; that of 16-bit floats as integers, since numpy has no bfloat16."""
    return (images.view(torch.int16) if images.itemsize == 2 else images).numpy()
