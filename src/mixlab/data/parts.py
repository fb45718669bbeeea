"""Training, validation and test part of a data set, and how the validation part comes about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixlab.data.arrays import ArrayDataset
from mixlab.data.items import ItemDataset
from mixlab.data.spec import ImageSpec
from mixlab.data.split import hold_out

Images = ArrayDataset | ItemDataset


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows (int64, of the data set as it is stored) of a data set."""

    data: Images
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def as_images(dataset: Any, *, image_size: int | None, num_workers: int) -> Images | None:
    """A data set as a source of batches; None where there is none, or an empty one in memory."""
    if dataset is None:
        return None
    if isinstance(dataset, ArrayDataset):
        return (dataset.resized(image_size) if image_size else dataset) if len(dataset) else None
    return ItemDataset(dataset, image_size=image_size, num_workers=num_workers)


def whole(data: Images | None) -> Part | None:
    return None if data is None else Part(data, np.arange(len(data)))


def image_spec(data: Images, class_names: Sequence[str] | None) -> ImageSpec:
    """Shape and classes of the training data; `class_names` go before those of the data.

    Classes that nobody has named are called by their number, if the labels are known.
    """
    names = tuple(str(name) for name in class_names or data.class_names)
    if not names and data.targets is None:
        raise ValueError(
            f"{data.source} does not say which classes it has; give it an attribute `classes` "
            "(their names) or set data.class_names=[...]"
        )
    if not names and data.targets is not None:
        names = tuple(str(label) for label in range(int(data.targets.max()) + 1))
    channels, height, width = data.shape
    return ImageSpec(channels, height, width, names)


def check_fits(data: Images | None, spec: ImageSpec, what: str) -> None:
    """Raise ValueError unless images and labels of a part are of the training data's kind."""
    if data is None:
        return
    if data.shape != (spec.channels, spec.height, spec.width):
        raise ValueError(
            f"the {what} images of {data.source} have shape {data.shape}, but those to train on "
            f"({spec.channels}, {spec.height}, {spec.width}); data.image_size makes sizes equal"
        )
    if data.targets is None:
        return
    lowest, highest = int(data.targets.min()), int(data.targets.max())
    if lowest < 0 or highest >= spec.num_classes:
        raise ValueError(
            f"the {what} labels of {data.source} go from {lowest} to {highest}, but there are "
            f"{spec.num_classes} classes; labels count from 0 to {spec.num_classes - 1}"
        )


def cut_validation(
    train: Images, val: Images | None, *, size: float, rule: str
) -> tuple[Part, Part | None, str]:
    """Training part, validation part, and a sentence that says where the latter comes from."""
    if val is not None:
        return Part(train, np.arange(len(train))), whole(val), f"{len(val)} rows of their own"
    targets = None if train.targets is None else train.targets.numpy()
    rows, held_out = hold_out(targets, len(train), size, rule=rule)
    if len(held_out) == 0:
        return Part(train, rows), None, "none"
    kind = "random" if rule == "stratified" and targets is None else rule
    note = f"{len(held_out)} of {len(train)} training rows, {kind}, the same for every seed"
    return Part(train, rows), Part(train, held_out), note
