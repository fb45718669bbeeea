"""A folder of images with one folder per class."""

import os
from pathlib import Path
from typing import Any

from mixlab.data.image_files import Entry, ImageFiles, split_files
from mixlab.data.spec import SPLITS, Datasets
from mixlab.errors import UserError

NO_IMAGE = ("thumbs.db", "desktop.ini")  # left behind by desktops, like names with a leading dot


class Folder:
    """A folder of class folders, which hold JPEG and PNG files at any depth.

    `path` holds the class folders themselves, or `train` and optionally `val` and `test` with class
    folders in them. The sorted names of the training folders are the classes.

    Args:
        path: of the folder.
        test_size: without a folder `test`, the share or number of the training rows that test.
        options: see `ImageFiles`.
    """

    def __init__(self, path: str | Path, *, test_size: float = 0, **options: Any) -> None:
        self.root = Path(path).expanduser()
        self.test_size, self.options = test_size, options

    def splits(self) -> Datasets:
        """Read the header of every file.

        Raises:
            ValueError: there is no such folder, a class has no image, `val` or `test` has a class
                that `train` lacks, or `ImageFiles` refuses a file.
        """
        root, parts = self.root, layout(self.root)
        classes = class_folders(root / parts["train"])
        entries = {split: listed(root, folder, classes) for split, folder in parts.items()}
        found = split_files(
            entries,
            classes,
            where=f"{root} has a folder test",
            test_size=self.test_size,
            root=str(root),
            **self.options,
        )
        check_classes(found.train)
        return found


def layout(root: Path) -> dict[str, str]:
    """The folder of each split, relative to `root`; the root itself if it has no splits.

    Raises:
        ValueError: the folder does not exist, or its splits are incomplete or misnamed.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "is not there"
        raise UserError(f"the folder {root} {what}; set data.path to a folder of class folders")
    names = folders(root)
    splits = [name for name in names if name in SPLITS and folders(root / name)]
    if not splits:
        return {"train": ""}
    others = sorted({*names} - {*splits})
    if "train" not in splits:
        raise UserError(f"{root} has a folder {splits[0]} but none called train to train on")
    if others:
        raise UserError(
            f"{root} has the folders {', '.join(splits)} and also {others[0]}; rename it "
            f"to one of {', '.join(SPLITS)}, or move it away"
        )
    return {name: name for name in SPLITS if name in splits}


def folders(path: Path) -> list[str]:
    """Sorted names of the folders in a folder, without hidden ones."""
    with os.scandir(path) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith((".", "__")))


def class_folders(path: Path) -> list[str]:
    """The classes; raises ValueError if there are none."""
    names = folders(path)
    if not names:
        raise UserError(f"{path} has no class folder; put the images of each class into a folder")
    return names


def listed(root: Path, part: str, classes: list[str]) -> list[Entry]:
    """Every file of a part, class by class in sorted order."""
    entries = []
    for name in class_folders(root / part):
        if name not in classes:
            raise UserError(
                f"{root / part} has a class {name} that {root / 'train'} lacks, so it cannot be "
                f"learned; the classes there are {', '.join(classes)}"
            )
        files = sorted(
            os.path.relpath(os.path.join(folder, file), root)
            for folder, _, files in os.walk(root / part / name)
            for file in files
            if not file.startswith(".") and file.lower() not in NO_IMAGE
        )
        if not files:
            raise UserError(f"{root / part / name} has no image; fill or remove this class folder")
        label = classes.index(name)
        entries += [Entry(file, label) for file in files]
    return entries


def check_classes(data: ImageFiles) -> None:
    """Raise ValueError if a class has no training row left."""
    missing = {*range(len(data.classes))} - {entry.label for entry in data.entries}
    if missing:
        raise UserError(
            f"no image of {data.root} is left to train on class {data.classes[min(missing)]}; add "
            "some, or lower data.test_size"
        )
