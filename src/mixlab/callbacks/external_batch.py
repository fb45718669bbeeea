"""Batches that are not ours: finding images and targets in them, and writing the mixture back."""

from collections.abc import Iterable, MutableMapping
from typing import Any

from torch import Tensor

from mixlab.errors import UserError
from mixlab.mixing import Batch, soft_labels

Keys = tuple[str | int, str | int]  # of images and targets in a batch
IMAGES = ("image", "images", "input", "inputs", "pixel_values", "x")
TARGETS = ("label", "labels", "target", "targets", "class", "y")


class NamedList(list):
    """The values of a NamedTuple, which can be replaced; found by position and by name."""

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, batch: Any) -> "NamedList":
        values = cls(batch)
        values.names = batch._fields
        return values

    def __getattr__(self, name: str) -> Any:
        if name not in self.names:
            raise AttributeError(f"the batch has {', '.join(self.names)}, and no {name}")
        return self[self.names.index(name)]


class TupleBatches:
    """For a loader that yields tuples: `class Net(TupleBatches, LightningModule)`.

    A callback cannot write into a tuple, so training batches become lists on the device; those of a
    NamedTuple keep their names. It goes first among the bases, of the LightningDataModule instead
    if that has an `on_after_batch_transfer` of its own, since Lightning calls only one of the two.
    """

    trainer: Any

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        batch = super().on_after_batch_transfer(batch, dataloader_idx)  # pyright: ignore
        if not isinstance(batch, tuple) or not self.trainer.training:
            return batch
        return NamedList.of(batch) if hasattr(batch, "_fields") else list(batch)


def find_pair(batch: Any, keys: Keys | None = None) -> tuple[Any, Any]:
    """The keys or positions of images and targets in a batch that can be written to.

    Args:
        keys: the user's; by default the usual names, or positions 0 and 1 in a list.

    Raises:
        TypeError: the batch cannot be written to, or is of a kind that is not known.
        ValueError: the batch does not have the keys, or no key that is known.
    """
    if isinstance(batch, Batch):
        return "images", "targets"
    if isinstance(batch, NamedList):
        images, targets = find_keys(batch.names, keys)
        return batch.names.index(images), batch.names.index(targets)
    if isinstance(batch, MutableMapping):
        return find_keys(batch, keys)
    if isinstance(batch, list) and len(batch) >= 2:
        return find_keys(range(len(batch)), keys or (0, 1))
    kind = type(batch).__name__
    if isinstance(batch, tuple):
        raise TypeError(
            f"MixingCallback cannot write into a {kind} batch; make TupleBatches of "
            "mixlab.callbacks the first base of your module, `class Net(TupleBatches, "
            "LightningModule)`, or of your LightningDataModule if that has an "
            "on_after_batch_transfer of its own"
        )
    raise TypeError(
        f"MixingCallback finds no images and targets in a {kind} batch; let the loader yield a "
        "list [images, targets], a tuple or a dict, or use mixlab.data.ImageDataModule"
    )


def find_keys(found: Iterable[Any], keys: Keys | None) -> tuple[Any, Any]:
    """The two keys among those of a batch."""
    there = list(found)
    first = [next((name for name in names if name in there), None) for names in (IMAGES, TARGETS)]
    images, targets = keys or first
    if images in there and targets in there:
        return images, targets
    what = f"keys={keys}" if keys else "images and labels"
    raise UserError(
        f"MixingCallback finds no {what} in a batch with {', '.join(map(repr, there))}; name the "
        f"two, as in MixingCallback(method, keys={tuple(there[:2])})"
    )


def read_pair(
    batch: Any, num_classes: int | None, keys: Keys | None = None
) -> tuple[Tensor, Tensor]:
    """Images (B, ...) and float targets (B, C) of a foreign batch."""
    images, targets = (
        getattr(batch, key) if isinstance(batch, Batch) else batch[key]
        for key in find_pair(batch, keys)
    )
    if not isinstance(images, Tensor) or not isinstance(targets, Tensor):
        kinds = f"{type(images).__name__} and {type(targets).__name__}"
        raise UserError(
            f"MixingCallback mixes tensors of images and labels, got {kinds}; stack them in the "
            "loader's collate_fn"
        )
    return images, soft_labels(targets, num_classes, images.dtype)


def write_pair(batch: Any, images: Tensor, targets: Tensor, keys: Keys | None = None) -> None:
    """Put the mixture where `training_step` will look for it."""
    for key, value in zip(find_pair(batch, keys), (images, targets), strict=True):
        if isinstance(batch, Batch):
            setattr(batch, key, value)
        else:
            batch[key] = value
