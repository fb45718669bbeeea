"""Labels into targets that can be mixed, and mixed targets into what metrics take."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mixlab.errors import UserError


def soft_labels(labels: Tensor, num_classes: int | None, dtype: torch.dtype) -> Tensor:
    """Float targets (B, C), or (B, C, H, W) for masks, as `Blend.mix` takes them.

    Args:
        labels: class numbers (B,), or masks of them (B, H, W). Floats are returned unchanged: soft
            or multi-hot labels (B, C).
        num_classes: C; not needed for floats, but where it is given they have so many.
        dtype: of the images. The targets have it too, or 32 bits if it has fewer.

    Raises:
        UserError: there is no number of classes, or another than floats have, or a label is not in
            [0, num_classes). To see the latter, this waits for a GPU.
    """
    if labels.is_floating_point():
        _check_columns(labels, num_classes)
        return labels
    if labels.ndim not in (1, 3):
        raise UserError(
            f"class numbers must be (B,), got shape {tuple(labels.shape)}; take labels[:, 0] of a "
            "column, and labels.float() of rows with a 0 or 1 for each class"
        )
    if num_classes is None:
        raise UserError(
            "mixing class numbers needs num_classes; give it, as in num_classes=10, or one-hot "
            "floats as labels"
        )
    wrong = ((labels < 0) | (labels >= num_classes)).nonzero()
    if len(wrong):
        row = int(wrong[0, 0])
        value = int(labels[tuple(wrong[0])])
        raise UserError(
            f"labels must be from 0 to {num_classes - 1} with num_classes={num_classes}, got "
            f"{value} in row {row} of the batch; count the classes from 0, set num_classes to "
            "their number, and leave out rows without a class"
        )
    shares = F.one_hot(labels.long(), num_classes).movedim(-1, 1)
    return shares.to(torch.promote_types(dtype, torch.float32))  # shares need more than 16 bits


def _check_columns(targets: Tensor, num_classes: int | None) -> None:
    """Raise UserError if float targets (B, C) or (B, C, H, W) have another number of classes."""
    if num_classes is None or targets.ndim not in (2, 4) or targets.shape[1] == num_classes:
        return
    raise UserError(
        f"float labels must have a column for each class, got {targets.shape[1]} columns with "
        f"num_classes={num_classes}; set num_classes={targets.shape[1]}, or leave it out"
    )


def check_pairs(images: Tensor, labels: Tensor) -> None:
    """Raise UserError unless there are as many labels as images."""
    if images.shape[0] != labels.shape[0]:  # `len` of a tensor takes longer
        raise UserError(
            f"got {len(images)} images and {len(labels)} labels; give each image its label"
        )


def hard_labels(targets: Tensor) -> Tensor:
    """The class with the largest share, for metrics that take class numbers.

    Args:
        targets: shares (B, C), or (B, C, H, W) for masks; class numbers are returned unchanged, so
            that training and validation can share a line.
    """
    return targets.argmax(1) if targets.is_floating_point() else targets


def label_pair(targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Two classes and the share of the first, of targets (B, C) with at most two classes in a row.

    `share * loss(logits, y_a) + (1 - share) * loss(logits, y_b)`, with a loss for each row, is the
    cross-entropy of the targets.

    Returns:
        y_a and y_b, int64 (B,), and the share of y_a, (B,) in [0.5, 1].

    Raises:
        UserError: a row has more than two classes, or shares that do not sum to 1.
    """
    shares, classes = targets.topk(2, dim=1)
    wrong = ((shares.sum(1) - 1).abs() > 1e-3) | ((targets.sum(1) - 1).abs() > 1e-3)
    if wrong.any():
        row = targets[int(wrong.nonzero()[0])]
        found = ", ".join(f"{share:.3g}" for share in row[row != 0].tolist())
        raise UserError(
            f"a pair of labels needs rows of two classes whose shares sum to 1, got {found}; use "
            "the targets as they are, or hard_labels"
        )
    return classes[:, 0], classes[:, 1], shares[:, 0]
