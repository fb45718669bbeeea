"""Optimal transport with entropic regularization, by Sinkhorn's iterations."""

import math

import torch
from torch import Tensor


def transport_plan(cost: Tensor, regularization: float, iterations: int) -> Tensor:
    """(B, N, M) plans that move mass 1 / N at each of N places to 1 / M at each of M, cheaply.

    Cuturi, Sinkhorn Distances, 2013, https://arxiv.org/abs/1306.0895, in the logarithms of the
    scaling factors. Rows sum to 1 / N up to rounding; columns to 1 / M the more exactly the more
    iterations there are.

    Args:
        cost: (B, N, M) float, of moving a unit from one place to another.
        regularization: > 0, in units of the cost; the smaller, the sharper the plan and the more
            iterations it needs.
        iterations: >= 1.
    """
    rows, columns = cost.shape[1:]
    logits = -cost / regularization
    column_scale = torch.zeros_like(logits[:, :1])
    for _ in range(iterations):
        row_scale = -math.log(rows) - torch.logsumexp(logits + column_scale, 2, keepdim=True)
        column_scale = -math.log(columns) - torch.logsumexp(logits + row_scale, 1, keepdim=True)
    row_scale = -math.log(rows) - torch.logsumexp(logits + column_scale, 2, keepdim=True)
    return (logits + row_scale + column_scale).exp()


def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """(B, N, M) squared Euclidean distances of points (B, C, N) and (B, C, M)."""
    products = one.transpose(1, 2) @ other
    lengths = one.square().sum(1)[:, :, None] + other.square().sum(1)[:, None]
    return (lengths - 2 * products).clamp_min(0)
