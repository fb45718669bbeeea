"""Image files with a class each, listed by a folder, a table or a library."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import Dataset

from mixlab.checks import CHANNELS, ON_ERROR
from mixlab.data.decode import BadItem, decode, read_header
from mixlab.data.holdout import hold_out
from mixlab.data.mask_files import check_mask_size, class_of, decode_mask
from mixlab.data.spec import SPLITS, Datasets
from mixlab.errors import UserError

OWN = "a set of its own"
HELD_OUT = "stratified rows of the data, the same for every seed"


class Entry(NamedTuple):
    """One row: its file, relative to the root; its class; where it is listed, for errors; its mask
    file, if masks are the targets; and the classes that it has, if it may have several."""

    name: str
    label: int
    place: str = ""
    mask: str = ""
    several: tuple[int, ...] | None = None


class ImageFiles(Dataset):
    """A map-style data set of (uint8 (C, H, W) image, target) pairs, decoded on access. The target
    is a class, float32 (classes,) of 0 and 1, or a uint8 (H, W) mask.

    The header of every file is read once, here, so that a bad file is found before training.

    Args:
        entries: the rows.
        classes: names of the classes.
        root: the folder that file names are relative to; no file may be outside of it.
        channels: 3 for color, 1 for gray.
        image_size: side in pixels to resize to; None leaves the images, which must have one size.
        on_error: `raise`, or `skip`: decode every image once and leave out those that fail.
        test_split: a few words on where the test rows come from, for the record.
        mask_values: of masks, the pixel value of each class; None if it is the class number.

    Attributes:
        entries: the rows that were kept.
        targets: int64 (N,), their classes; None if they have masks or several labels.
        skipped: number of rows that were left out.

    Raises:
        ValueError: naming the file, if one cannot be used or is outside `root`.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        classes: Sequence[str],
        *,
        root: str,
        channels: int = 3,
        image_size: int | None = None,
        on_error: str = "raise",
        test_split: str | None = None,
        mask_values: Sequence[int] | None = None,
    ) -> None:
        CHANNELS.check("data.channels", channels)
        self.class_of = class_of(len(classes), mask_values)
        ON_ERROR.check("data.on_error", on_error)
        self.root, self.channels, self.image_size = root, channels, image_size
        self.classes, self.test_split = tuple(classes), test_split
        check_inside(root, [(entry.name, entry.place) for entry in entries])
        check_inside(root, [(entry.mask, entry.place) for entry in entries if entry.mask])
        faults = self.faults(entries, skip=on_error == "skip")
        tell(root, faults, len(entries))
        self.skipped = len(faults)
        self.entries = [entry for number, entry in enumerate(entries) if number not in faults]
        labels = np.array([entry.label for entry in self.entries], np.int64)
        has_class = not any(entry.mask or entry.several is not None for entry in entries)
        self.targets = labels if has_class else None

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, row: int) -> tuple[Tensor, int | Tensor]:
        entry = self.entries[row]
        try:
            return self.decoded(entry)
        except BadItem as error:
            raise BadItem(f"{entry.place}{error}") from None

    def decoded(self, entry: Entry) -> tuple[Tensor, int | Tensor]:
        """Image and class, labels or mask of a row."""
        path = os.path.join(self.root, entry.name)
        image = decode(path, channels=self.channels, image_size=self.image_size)
        if entry.several is not None:
            labels = torch.zeros(len(self.classes))
            labels[list(entry.several)] = 1
            return image, labels
        if not entry.mask:
            return image, entry.label
        path = os.path.join(self.root, entry.mask)
        return image, decode_mask(path, self.class_of, image_size=self.image_size)

    def faults(self, entries: Sequence[Entry], *, skip: bool) -> dict[int, str]:
        """What is wrong, by number of the entry; without `skip` the first fault is raised."""
        faults: dict[int, str] = {}
        first: tuple[tuple[int, int], str] | None = None
        for number, entry in enumerate(entries):
            path = os.path.join(self.root, entry.name)
            try:
                size = read_header(path)
                if entry.mask:
                    check_mask_size(os.path.join(self.root, entry.mask), size)
                if skip:
                    self.decoded(entry)
            except BadItem as error:
                faults[number] = f"{entry.place}{error}"
                if not skip:
                    raise UserError(faults[number]) from None
                continue
            first = first or (size, path)
            if self.image_size is None and size != first[0]:
                raise UserError(unlike(first, (size, path)))
        return faults

    def record(self) -> dict[str, Any]:
        """What to record about the files in a run."""
        return {"skipped": self.skipped} | ({"split": self.test_split} if self.test_split else {})


def unlike(*images: tuple[tuple[int, int], str]) -> str:
    """The message for two images of different sizes."""
    sizes = " and ".join(f"{path} has {width} x {height}" for (height, width), path in images)
    return f"the images are not of one size ({sizes} pixels); set data.image_size"


def tell(root: str, faults: dict[int, str], num_entries: int) -> None:
    """Print once what is left out; raise ValueError if nothing is left."""
    if not faults:
        return
    example = next(iter(faults.values())).partition(";")[0]
    if len(faults) == num_entries:
        raise UserError(f"none of the {num_entries} images of {root} can be used: {example}")
    rank_zero_only(print)(
        f"{root}: {len(faults)} of {num_entries} images left out, the first because {example}",
        flush=True,
    )


def check_inside(root: str, files: Sequence[tuple[str, str]]) -> None:
    """Raise ValueError if one of `files`, names and where they are listed, is outside `root`."""
    real = os.path.realpath(root) + os.sep
    for name, place in files:
        if os.path.isabs(name):
            why = "is absolute; write it relative to that folder"
        elif not os.path.realpath(real + name).startswith(real):
            why = "leads outside; move or copy the images into that folder"
        else:
            continue
        raise UserError(f"{place}{name!r} relative to {root} {why}")


def split_files(
    entries: Mapping[str, Sequence[Entry]],
    classes: Sequence[str],
    *,
    where: str,
    test_size: float = 0,
    **options: Any,
) -> Datasets:
    """A data set for each split that has rows; without test rows, training rows are held out.

    Args:
        entries: by name of the split.
        where: subject of the error for test rows with a `test_size`.
        test_size: a fraction of each class or a number of training rows; 0 makes no test set.
        options: see `ImageFiles`.
    """
    rows = {split: [*entries.get(split, ())] for split in SPLITS}
    note = OWN
    if "test" not in entries:
        several = any(entry.several is not None for entry in rows["train"])
        labels = None if several else np.array([entry.label for entry in rows["train"]])
        train, test = hold_out(labels, len(rows["train"]), test_size, key="data.test_size")
        rows["test"] = [rows["train"][row] for row in test]
        rows["train"] = [rows["train"][row] for row in train]
        note = HELD_OUT.replace("stratified", "random") if several else HELD_OUT
    elif test_size:
        raise UserError(f"{where}, so data.test_size must be 0")
    datasets = {}
    for split, found in rows.items():
        if found:
            test_split = note if split == "test" else None
            datasets[split] = ImageFiles(found, classes, test_split=test_split, **options)
    return Datasets(**datasets)
