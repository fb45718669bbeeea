"""Weighted sums of whole rows, in one pass over memory, with derivatives of any order."""

from typing import Any

import torch
from torch import Tensor


def weighted_rows(rows: Tensor, source: Tensor, weight: Tensor) -> Tensor:
    """Sum over k of weight (B|1, K) times rows[source (B, K)], in the layout of `rows` (R, ...).

    It runs twice for each batch, where even a view or a `to` without effect costs time.
    """
    last = not rows.is_contiguous() and rows.movedim(1, -1).is_contiguous()
    rows = rows.movedim(1, -1) if last else rows  # channels-last ones stay so, and are not copied
    if rows.device.type != "cpu" or rows.dtype != weight.dtype:
        source = source.to(rows.device, non_blocking=True)
        weight = weight.to(rows, non_blocking=True)
    weight = weight if weight.shape[0] == source.shape[0] else weight.expand_as(source)
    starts = torch.arange(0, source.numel(), source.shape[1], device=source.device)
    flat = rows if rows.ndim == 2 else rows.flatten(1)
    given = (flat, source.reshape(-1), starts, weight.reshape(-1))
    is_learned = rows.requires_grad and not weight.requires_grad
    mixed = _LinearBags.apply(*given) if is_learned else bags(*given)
    mixed = mixed if rows.ndim == 2 else mixed.view(-1, *rows.shape[1:])
    return mixed.movedim(-1, 1) if last else mixed


def bags(rows: Tensor, index: Tensor, starts: Tensor, weight: Tensor) -> Tensor:
    """(N, F): sums of rows (R, F) at `index`, each times its `weight`, from each start to the next.

    `index` and `weight` have one dimension; `starts` (N,) are places in them.
    """
    return torch.embedding_bag(rows, index, starts, per_sample_weights=weight)[0]


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
