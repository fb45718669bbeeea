"""Batches that are not ours: finding images and targets in them, and writing the mixture back."""

from collections.abc import MutableMapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mixlab.errors import UserError
from mixlab.mixing import Batch

IMAGES = ("image", "images", "input", "inputs", "pixel_values", "x")
TARGETS = ("label", "labels", "target", "targets", "class", "y")


def find_pair(batch: Any) -> tuple[Any, Any]:
    """The keys or positions of images and targets in a batch that can be written to.

    Raises:
        TypeError: the batch cannot be written to, or is of a kind that is not known.
        ValueError: a dict has no key that is known to hold images, or targets.
    """
    if isinstance(batch, Batch):
        return "images", "targets"
    if isinstance(batch, MutableMapping):
        return find_key(batch, IMAGES), find_key(batch, TARGETS)
    if isinstance(batch, list) and len(batch) >= 2:
        return 0, 1
    raise TypeError(
        f"MixingCallback cannot write the mixture into a {type(batch).__name__} batch; let the "
        "loader yield a list [images, targets] or a dict, or use mixlab.data.ImageDataModule"
    )


def find_key(batch: MutableMapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of `names` that the batch has."""
    for name in names:
        if name in batch:
            return name
    raise UserError(
        f"MixingCallback finds none of the keys {', '.join(names)} in a batch with "
        f"{', '.join(map(str, batch))}; rename one"
    )


def read_pair(batch: Any, num_classes: int | None) -> tuple[Tensor, Tensor]:
    """Images (B, ...) and float targets (B, C) of a foreign batch."""
    images, targets = (
        getattr(batch, key) if isinstance(batch, Batch) else batch[key] for key in find_pair(batch)
    )
    if targets.is_floating_point():
        return images, targets
    if num_classes is None:
        raise UserError(
            "MixingCallback needs num_classes to mix integer targets; give it, as in "
            "MixingCallback(method, num_classes=10), or yield one-hot targets"
        )
    dtype = torch.promote_types(images.dtype, torch.float32)  # shares need more than 16 bits
    return images, F.one_hot(targets, num_classes).to(dtype)


def write_pair(batch: Any, images: Tensor, targets: Tensor) -> None:
    """Put the mixture where `training_step` will look for it."""
    for key, value in zip(find_pair(batch), (images, targets), strict=True):
        if isinstance(batch, Batch):
            setattr(batch, key, value)
        else:
            batch[key] = value
