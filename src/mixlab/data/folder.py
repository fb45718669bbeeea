"""A folder of images, one folder a class."""

import os
from pathlib import Path
from typing import Any

from mixlab.data.image_files import Entry, ImageFiles, split_files
from mixlab.data.spec import SPLITS, Datasets
from mixlab.errors import UserError

NO_IMAGE = ("thumbs.db", "desktop.ini")  # what desktops leave behind, besides names with a dot


class Folder:
    """A folder of class folders, which hold JPEG and PNG files at any depth.

    Beneath `path` lie the class folders themselves, or `train`, perhaps `val` and `test`, and the
    class folders in these. The sorted names of those to train on are the classes.

    Args:
        path: of the folder.
        test_size: of a folder without `test`, the share or number of the training rows that test.
        options: see `ImageFiles`.
    """

    def __init__(self, path: str | Path, *, test_size: float = 0, **options: Any) -> None:
        self.root = Path(path).expanduser()
        self.test_size, self.options = test_size, options

    def splits(self) -> Datasets:
        """Look at every file's header.

        Raises:
            ValueError: if there is no such folder, a class without an image, or a class in `val`
                or `test` that `train` has not; and for what `ImageFiles` refuses.
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
    """Which splits there are, and in which folder each; the folder itself where it has no `train`.

    Raises:
        ValueError: if it is not there, or its splits are incomplete or misnamed.
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
            f"{root} has the folders {', '.join(splits)} and besides them {others[0]}; rename it "
            f"to one of {', '.join(SPLITS)}, or move it away"
        )
    return {name: name for name in SPLITS if name in splits}


def folders(path: Path) -> list[str]:
    """Sorted names of the folders in a folder; hidden ones do not count."""
    with os.scandir(path) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith((".", "__")))


def class_folders(path: Path) -> list[str]:
    """The classes; raises ValueError where there is none."""
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
                f"{root / part} has a class {name} that {root / 'train'} has not, so that nothing "
                f"could learn it; the classes there are {', '.join(classes)}"
            )
        found = image_names(root / part / name)
        if not found:
            raise UserError(f"{root / part / name} has no image; fill or remove this class folder")
        label = classes.index(name)
        entries += [Entry(os.path.join(part, name, each), label) for each in found]
    return entries


def image_names(path: Path) -> list[str]:
    """The files in a folder and those below it, relative to it."""
    return sorted(
        os.path.relpath(os.path.join(folder, name), path)
        for folder, _, names in os.walk(path)
        for name in names
        if not name.startswith(".") and name.lower() not in NO_IMAGE
    )


def check_classes(data: ImageFiles) -> None:
    """Raise ValueError if no row to train on is left of a class."""
    missing = {*range(len(data.classes))} - {entry.label for entry in data.entries}
    if missing:
        raise UserError(
            f"no image of {data.root} is left to train on class {data.classes[min(missing)]}; add "
            "some, or lower data.test_size"
        )
