"""Data sets that another library downloads, kept in the layout of that library."""

import importlib
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixlab.config.keys import nearest_name
from mixlab.data.image_files import Entry, split_files
from mixlab.data.npz import LAYOUT
from mixlab.data.sources import Npz, cause
from mixlab.data.spec import SPLITS, Datasets
from mixlab.errors import UserError

FAILURES = (OSError, RuntimeError)  # raised by the libraries without a network
MEDMNIST_SIZES = (28, 64, 128, 224)  # pixels a side


class Flowers102:
    """Oxford's flowers of 102 kinds, 1,020 + 1,020 + 6,149 photographs, as torchvision keeps them.

    Args:
        path: of a folder with torchvision's `flowers-102`; downloaded if it does not exist.
        options: see `ImageFiles`.
    """

    def __init__(self, path: str | Path, **options: Any) -> None:
        self.root, self.options = Path(path).expanduser(), options

    def splits(self) -> Datasets:
        entries, classes = {}, []
        for split in SPLITS:
            found = flowers(self.root, split)
            files = zip(found._image_files, found._labels, strict=True)
            entries[split] = [Entry(os.path.relpath(f, self.root), label) for f, label in files]
            classes = found.classes
        return split_files(entries, classes, where="", root=str(self.root), **self.options)


def flowers(root: Path, split: str) -> Any:
    """torchvision's data set in `root`, downloaded completely or not at all.

    Raises:
        ValueError: with the remedy, if the download fails or the folder is incomplete.
    """
    from torchvision import datasets

    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.parent) as folder:
            whole = Path(folder) / root.name
            try:
                datasets.Flowers102(whole, split, download=True)
            except FAILURES as error:
                raise UserError(
                    f"there is no folder {root}, and torchvision could not download Flowers102 "
                    f"({cause(error)}); run the same command with a network connection, or copy "
                    f"torchvision's folder flowers-102 into {root}"
                ) from error
            for archive in whole.glob("*/*.tgz"):
                archive.unlink()
            try:
                os.replace(whole, root)
            except OSError:
                if not root.exists():  # otherwise another job of the sweep was faster
                    raise
    try:
        return datasets.Flowers102(root, split)
    except FAILURES as error:
        raise UserError(
            f"{root} does not hold a complete folder flowers-102 ({error}); remove it, and run the "
            "same command with a network connection"
        ) from error


@dataclass(frozen=True)
class MedMnist:
    """A MedMNIST set of 2-D images with one class each, or several labels (arXiv:2110.14795).

    Attributes:
        path: of its `.npz` file; downloaded by the library `medmnist` if it does not exist.
        dataset: `pathmnist` or another name, with `_64`, `_128` or `_224` for larger images.
    """

    path: str
    dataset: str = "pathmnist"

    def splits(self) -> Datasets:
        if not Path(self.path).expanduser().exists():
            download_medmnist(self.dataset, Path(self.path).expanduser())
        return Npz(self.path).splits()


def download_medmnist(dataset: str, path: Path) -> None:
    """Download a set with the library `medmnist` to `path`, completely or not at all.

    The class names, which the library knows but its files lack, are added.

    Raises:
        ValueError: if the library, the network or the set is missing, with the remedy.
    """
    missing = f"there is no file {path}, and"
    try:
        library = importlib.import_module("medmnist")
    except ImportError:
        raise UserError(
            f"{missing} the library that fetches it is missing; pip install medmnist, or write the "
            f"file yourself: {LAYOUT}, and the same for val_ and test_"
        ) from None
    flag, size = flag_and_size(dataset, library.INFO)
    info = library.INFO[flag]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        try:
            getattr(library, info["python_class"])("train", download=True, root=folder, size=size)
        except FAILURES as error:
            raise UserError(
                f"{missing} medmnist could not download {dataset} ({cause(error)}); run the same "
                "command with a network connection, or copy the file there"
            ) from error
        (whole,) = Path(folder).glob("*.npz")
        add_names(whole, [info["label"][key] for key in sorted(info["label"], key=int)])
        os.replace(whole, path)


def flag_and_size(dataset: str, known: dict[str, Any]) -> tuple[str, int]:
    """`pathmnist_64` as `pathmnist` and 64; raises ValueError for unsupported sets."""
    flag, _, size = dataset.partition("_")
    if flag not in known:
        nearest = nearest_name(flag, known)
        hint = f"did you mean {nearest}? " if nearest else ""
        raise UserError(
            f"data.dataset={dataset} is not in MedMNIST; {hint}choose one of {', '.join(known)}"
        )
    if flag.endswith("3d"):
        raise UserError(f"{flag} has 3-D volumes; mixlab takes 2-D images")
    if size and size not in map(str, MEDMNIST_SIZES[1:]):
        larger = ", ".join(f"{flag}_{each}" for each in MEDMNIST_SIZES[1:])
        raise UserError(f"data.dataset={dataset} has no such size; choose one of {flag}, {larger}")
    return flag, int(size or MEDMNIST_SIZES[0])


def add_names(path: Path, names: list[str]) -> None:
    """Add an array `class_names` to an `.npz` file."""
    with zipfile.ZipFile(path, "a") as archive, archive.open("class_names.npy", "w") as file:
        np.lib.format.write_array(file, np.asarray(names), allow_pickle=False)
