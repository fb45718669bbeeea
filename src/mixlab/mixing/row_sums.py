"""Weighted sums of whole rows, in one pass over memory, with derivatives of any order."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def weighted_rows(rows: Tensor, source: Tensor, weight: Tensor) -> Tensor:
    """Sum over k of weight (B|1, K) times rows[source (B, K)], in the layout of `rows` (R, ...)."""
    return summed_rows(rows, *row_sums(source, weight, rows))


def row_sums(source: Tensor, weight: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What `summed_rows` takes for rows of the device and dtype of `like`: index, starts, weight.

    Images and targets often have the same weights, so that this is made once for both.
    """
    if not like.is_cpu or like.dtype != weight.dtype:  # even a `to` without effect costs time
        source = source.to(like.device, non_blocking=True)
        weight = weight.to(like, non_blocking=True)
    weight = weight if weight.shape[0] == source.shape[0] else weight.expand_as(source)
    return source.reshape(-1), _starts(source, like), weight.reshape(-1)


def _starts(source: Tensor, like: Tensor) -> Tensor:
    """(B,) int64 on the device of `like`: where the sources of each row begin in flat `source`."""
    end, num_sources = source.numel(), source.shape[1]
    if not like.is_cpu:
        return torch.arange(0, end, num_sources, device=like.device)
    # By numpy, whose code is in the processor's cache since the draw: torch's would cost 4 %.
    return torch.from_numpy(np.arange(0, end, num_sources, dtype=np.int64))


def summed_rows(rows: Tensor, index: Tensor, starts: Tensor, weight: Tensor) -> Tensor:
    """As `bags`, for `rows` (R, ...) of any rank, in their layout and with derivatives."""
    last = not rows.is_contiguous() and rows.movedim(1, -1).is_contiguous()
    rows = rows.movedim(1, -1) if last else rows  # channels-last ones stay so, and are not copied
    given = (rows if rows.ndim == 2 else rows.flatten(1), index, starts, weight)
    is_learned = rows.requires_grad and not weight.requires_grad
    mixed = _LinearBags.apply(*given) if is_learned else bags(*given)
    mixed = mixed if rows.ndim == 2 else mixed.view(-1, *rows.shape[1:])
    return mixed.movedim(-1, 1) if last else mixed


def bags(rows: Tensor, index: Tensor, starts: Tensor, weight: Tensor) -> Tensor:
    """(N, F): sums of rows (R, F) at `index`, each times its `weight`, from each start to the next.

    `index` and `weight` have one dimension; `starts` (N,) are places in them.
    """
    # By position, which is read faster: not scaled by frequency, mode "sum", not sparse.
    return torch.embedding_bag(rows, index, starts, False, 0, False, weight)[0]


class _LinearBags(torch.autograd.Function):
    """`bags` as a linear function of the rows: torch's own has no second derivative.

    The transpose of a weighted sum is another one, in which each row sums what it went into.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, index: Tensor, starts: Tensor, weight: Tensor) -> Tensor:
        return bags(rows, index, starts, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        rows, *transposed = inputs
        ctx.save_for_backward(*transposed)
        ctx.num_rows = len(rows)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None, None]:
        index, starts, weight = ctx.saved_tensors
        place = torch.arange(len(index), device=index.device)
        went_into = torch.searchsorted(starts, place, right=True) - 1
        order = index.argsort(stable=True)
        row = torch.arange(ctx.num_rows, device=index.device)
        first = torch.searchsorted(index[order], row)
        given = (slope.contiguous(), went_into[order], first, weight[order])
        return _LinearBags.apply(*given), None, None, None
