"""Batches that are not ours: finding images and targets in them, and writing the mixture back."""

from collections.abc import Iterable, MutableMapping
from functools import partial
from typing import Any

from torch import Tensor

from mixlab.errors import UserError
from mixlab.mixing import Batch, soft_labels
from mixlab.mixing.labels import check_pairs

HOOK = "on_after_batch_transfer"
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
    """Does as a base class what `MixingCallback` does itself: `class Net(TupleBatches, ...)`.

    It goes first among the bases, of the LightningDataModule instead if that has an
    `on_after_batch_transfer` of its own, since Lightning calls only one of the two.
    """

    trainer: Any

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        hook = super().on_after_batch_transfer  # pyright: ignore
        return with_list(hook, batch, dataloader_idx)


def with_list(hook: Any, batch: Any, dataloader_idx: int) -> Any:
    """What the bound `hook` returns; in training a tuple becomes a list, which can be written to.

    A NamedTuple keeps its names.
    """
    batch = hook(batch, dataloader_idx)
    if not isinstance(batch, tuple) or not hook.__self__.trainer.training:
        return batch
    return NamedList.of(batch) if hasattr(batch, "_fields") else list(batch)


def list_tuples(trainer: Any, pl_module: Any) -> None:
    """Make tuples lists after the transfer to the device, until `unlist_tuples`.

    The hook that Lightning would call is wrapped, on the object and not on its class. It is a
    partial of a bound method: Lightning recognizes that as overridden, and it can be pickled and
    copied along with the object.
    """
    owner = hook_owner(trainer, pl_module)
    if HOOK not in vars(owner):  # wrapped already, or replaced by the user
        owner.on_after_batch_transfer = partial(with_list, owner.on_after_batch_transfer)


def unlist_tuples(trainer: Any, pl_module: Any) -> None:
    """Take back what `list_tuples` did, if it did anything."""
    for owner in (getattr(trainer, "datamodule", None), pl_module):
        wrapped = vars(owner).get(HOOK) if owner is not None else None
        if getattr(wrapped, "func", None) is with_list:
            delattr(owner, HOOK)


def hook_owner(trainer: Any, pl_module: Any) -> Any:
    """Whose `on_after_batch_transfer` Lightning calls: a data module's goes first.

    If neither has one, the data module gets it: Lightning warns of a hook of the module's beside a
    data module.
    """
    data = getattr(trainer, "datamodule", None)
    of_data, of_module = (
        each is not None and not is_lightnings(each.on_after_batch_transfer)
        for each in (data, pl_module)
    )
    return pl_module if data is None or (of_module and not of_data) else data


def is_lightnings(hook: Any) -> bool:
    """Whether a hook is the one that Lightning's own classes come with."""
    module = getattr(getattr(hook, "__func__", hook), "__module__", None) or ""
    return module.startswith(("pytorch_lightning.", "lightning."))


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
            f"MixingCallback cannot write into a {kind} batch, and could not wrap the hook that "
            "hands it over; make TupleBatches of mixlab.callbacks the first base of your module, "
            "`class Net(TupleBatches, LightningModule)`, or of your LightningDataModule if that "
            "has an on_after_batch_transfer of its own"
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
    if images.ndim < 2:
        first, second = find_pair(batch, keys)
        raise UserError(
            f"MixingCallback mixes rows (B, ...), got images {tuple(images.shape)} and labels "
            f"{tuple(targets.shape)}; if labels come first, set keys={(second, first)}"
        )
    check_pairs(images, targets)
    return images, soft_labels(targets, num_classes, images.dtype)


def write_pair(batch: Any, images: Tensor, targets: Tensor, keys: Keys | None = None) -> None:
    """Put the mixture where `training_step` will look for it."""
    for key, value in zip(find_pair(batch, keys), (images, targets), strict=True):
        if isinstance(batch, Batch):
            setattr(batch, key, value)
        else:
            batch[key] = value
