"""Training, validation and test part of the data, and how the validation part is chosen."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from mixlab.checks import whole
from mixlab.data.holdout import hold_out
from mixlab.data.image_files import ImageFiles
from mixlab.data.in_memory import ArrayDataset
from mixlab.data.label_noise import fewer_rows
from mixlab.data.map_style import ItemDataset
from mixlab.data.shards import ShardedImages
from mixlab.data.spec import DataSpec, ImageSpec
from mixlab.errors import UserError

Images = ArrayDataset | ItemDataset


@dataclass(frozen=True, eq=False)
class Split:
    """Some rows of a data set, by int64 row numbers; may be empty."""

    data: Images
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Splits:
    """All data of an experiment; `note` says where the validation rows come from."""

    spec: DataSpec
    train: Split
    val: Split
    test: Split
    note: str

    @staticmethod
    def of(
        train: Any,
        val: Any,
        test: Any,
        *,
        image_size: int | None,
        class_names: Sequence[str] | None,
        val_size: float,
        val_split: str,
        keys: tuple[str | None, str | None] = (None, None),
    ) -> "Splits":
        """Check the data sets, resize those in memory, and hold out validation rows if need be.

        Raises:
            ValueError: a data set cannot be used, or does not fit the training data.
        """
        images = as_images(train, image_size, keys)
        if images is None:
            raise UserError("the training data are empty; there is nothing to train on")
        spec = data_spec(images, class_names)
        images = fitted(images, spec, "training")
        own_val = whole_split(as_images(val, image_size, keys), spec, "validation")
        own_test = whole_split(as_images(test, image_size, keys), spec, "test")
        for what, part in (("validation", own_val), ("test", own_test)):
            if part is not None and part.data.multi_label != images.multi_label:
                raise UserError(
                    f"only one of the training and the {what} data has several labels an image"
                )
        test_part = own_test or Split(images, np.arange(0))
        if own_val is not None:
            train_part = Split(images, np.arange(len(images)))
            return Splits(spec, train_part, own_val, test_part, "a set of its own")

        labels = class_labels(images)
        rows, held_out = hold_out(labels, len(images), val_size, rule=val_split)
        if labels is not None:
            check_learnable(labels[rows], labels[held_out], spec, val_split)
        kind = "random" if val_split == "stratified" and labels is None else val_split
        note = f"{kind} rows of the training set, the same for every seed" if val_size else "none"
        return Splits(spec, Split(images, rows), Split(images, held_out), test_part, note)

    def with_fewer(self, fraction: float, seed: int) -> "Splits":
        """The same with a part of the training rows, see `fewer_rows`."""
        data, rows = self.train.data, self.train.rows
        labels = class_labels(data)
        labels = None if labels is None else labels[rows]
        return replace(self, train=Split(data, fewer_rows(rows, labels, fraction, seed)))

    def named(self) -> dict[str, Split]:
        return {"train": self.train, "val": self.val, "test": self.test}

    def facts(self) -> dict[str, Any]:
        """What files report for the record, such as `train_skipped`; each data set once."""
        facts: dict[str, Any] = {}
        reported: set[int] = set()
        for name, part in self.named().items():
            files = part.data.dataset if isinstance(part.data, ItemDataset) else None
            if isinstance(files, ImageFiles | ShardedImages) and id(part.data) not in reported:
                reported.add(id(part.data))
                facts |= {f"{name}_{key}": value for key, value in files.record().items()}
        return facts

    def fingerprint(self) -> str:
        """SHA-256 of the data and of which rows are in which part."""
        digest = hashlib.sha256()
        for part in self.named().values():
            digest.update(part.data.fingerprint.encode())
            digest.update(part.rows.data)
        return digest.hexdigest()


def as_images(
    dataset: Any, image_size: int | None, keys: tuple[str | None, str | None]
) -> Images | None:
    """A data set that makes batches; None for None, or for an empty `ArrayDataset`."""
    if dataset is None:
        return None
    if image_size is not None:
        whole(1).check("data.image_size", image_size)
    if isinstance(dataset, ArrayDataset):
        if len(dataset) == 0:
            return None
        if image_size is not None:
            check_resizable(dataset.shape, dataset.source)
        return dataset.resized(image_size) if image_size else dataset
    return ItemDataset(dataset, image_size, keys=keys)


def check_resizable(shape: tuple[int, ...], source: str) -> None:
    """Raise UserError for rows that are no images."""
    if len(shape) != 3:
        raise UserError(
            f"data.image_size is for images, and {source} has rows of shape {shape}; leave it out"
        )


def class_labels(data: Images) -> np.ndarray | None:
    """int64 (N,), the class of each image; None if not known, or if there are several or masks."""
    if data.targets is None or data.targets.ndim > 1:
        return None
    return data.targets.numpy()


def data_spec(data: Images, class_names: Sequence[str] | None) -> DataSpec:
    """Shape and classes of the training data; `class_names` take precedence over those of the data.

    Classes without names are called by their number, if the labels are known.
    """
    names = [str(name) for name in class_names or data.class_names]
    if not names and data.multi_label and isinstance(data, ItemDataset):
        names = [str(label) for label in range(len(data.first_label))]
    if not names:
        if data.targets is None:
            raise UserError(
                f"{data.source} does not say which classes it has; give it an attribute `classes` "
                "(their names) or set data.class_names=[...]"
            )
        targets = data.targets
        count = targets.shape[1] if targets.ndim == 2 else int(targets.max()) + 1
        names = [str(label) for label in range(count)]
    shape = data.shape  # which also checks the first row
    if len(names) < 2:
        raise UserError(
            f"the training data have only one class, {names[0]}; at least two are needed. Where "
            "data.path is a folder, set it to the one with the class folders"
        )
    if len(shape) != 3:
        axis, is_cloud = getattr(data, "feature_axis", 0), getattr(data, "is_cloud", False)
        return DataSpec(shape, tuple(names), axis, is_cloud)
    return ImageSpec(*shape, tuple(names))


def whole_split(data: Images | None, spec: DataSpec, what: str) -> Split | None:
    """All rows of a data set that fits; None for None."""
    return None if data is None else Split(fitted(data, spec, what), np.arange(len(data)))


def fitted(data: Images, spec: DataSpec, what: str) -> Images:
    """The data of a part; raises ValueError unless they match the training data."""
    if data.shape != spec.shape:
        is_image = isinstance(spec, ImageSpec)
        remedy = "data.image_size makes sizes equal" if is_image else "give rows of one shape"
        raise UserError(
            f"the {what} {'images' if is_image else 'rows'} of {data.source} have shape "
            f"{data.shape}, but those to train on {spec.shape}; {remedy}"
        )
    if data.targets is not None:
        check_labels(data.targets, spec.num_classes, f"the {what} labels of {data.source}")
    if isinstance(data, ItemDataset):
        return replace(data, num_classes=spec.num_classes, several=data.multi_label)
    return data


def check_learnable(
    trained: np.ndarray, held_out: np.ndarray, spec: DataSpec, val_split: str
) -> None:
    """Raise ValueError if all rows of a class are held out, as in a file sorted by class."""
    lost = np.setdiff1d(held_out, trained)
    if len(lost) and val_split != "stratified":
        raise UserError(
            f"data.val_split={val_split} leaves no row to train on class "
            f"{spec.class_names[int(lost[0])]}; shuffle the rows of the file, or use "
            "data.val_split=stratified"
        )


def check_labels(targets: Tensor, num_classes: int, what: str) -> None:
    if targets.ndim == 2:
        if targets.shape[1] != num_classes or not bool(((targets == 0) | (targets == 1)).all()):
            values = ", ".join(f"{value:g}" for value in targets.unique().tolist()[:4])
            raise UserError(
                f"{what} have shape {tuple(targets.shape)} and the values {values}; several labels "
                f"an image are 0 or 1 for each of the {num_classes} classes"
            )
        return
    lowest, highest = int(targets.min()), int(targets.max())
    if lowest < 0 or highest >= num_classes:
        raise UserError(
            f"{what} range from {lowest} to {highest}, but there are {num_classes} classes; labels "
            f"count from 0 to {num_classes - 1}, and data.class_names names them"
        )
