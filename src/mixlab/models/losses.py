"""Losses on soft labels, in at least 32 bits whatever the network computes in."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor, float], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over the batch of -sum(target * log_softmax(logits)).

    Args:
        logits: (B, C), or (B, C, H, W) of the pixels of a segmentation.
        targets: shares of the classes, shaped as the logits; or int64 classes, (B,) or (B, H, W).
        smoothing: in [0, 1), the share of each label that is spread over all classes.
    """
    return F.cross_entropy(logits, targets, label_smoothing=smoothing)


def binary_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over batch and classes of the binary cross-entropy of sigmoid(logits).

    Arguments as for `cross_entropy`.
    """
    if not targets.is_floating_point():
        targets = F.one_hot(targets, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    if smoothing:
        targets = targets * (1 - smoothing) + smoothing / logits.shape[1]
    return F.binary_cross_entropy_with_logits(logits, targets)


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
}


def widened(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one floating dtype of at least 32 bits; class numbers stay as they are."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits, targets.to(logits.dtype) if targets.is_floating_point() else targets


def probabilities(logits: Tensor, loss: Loss) -> Tensor:
    """What logits (B, C) mean to a loss: shares that sum to one, or each class by itself."""
    return logits.sigmoid() if loss is binary_cross_entropy else logits.softmax(1)
