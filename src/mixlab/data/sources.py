"""Data sets in memory."""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixlab.data.holdout import hold_out
from mixlab.data.in_memory import from_numpy
from mixlab.data.npz import read_npz
from mixlab.data.spec import Datasets
from mixlab.errors import UserError

DIGITS_TEST_FRACTION = 0.2


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, which come with the package.

    They have no test set: a fifth of each class, the same in every run, is held out.
    """

    def splits(self) -> Datasets:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)  # pyright: ignore
        targets = bunch.target  # pyright: ignore
        train, test = (
            from_numpy(
                images[rows], targets[rows], class_names=tuple("0123456789"), source="digits"
            )
            for rows in hold_out(targets, len(targets), DIGITS_TEST_FRACTION)
        )
        return Datasets(train, None, test)


@dataclass(frozen=True)
class Npz:
    """An `.npz` file in the MedMNIST layout, see `read_npz`."""

    path: str

    def splits(self) -> Datasets:
        arrays, names = read_npz(self.path)
        datasets = {
            split: from_numpy(*arrays.pop(split), class_names=names, source=str(self.path))
            for split in list(arrays)
        }
        return Datasets(**datasets)


@dataclass(frozen=True)
class Downloaded:
    """`FashionMNIST`, `CIFAR10` or another set of torchvision, kept as an `.npz` file at `path`.

    Downloaded by torchvision if the file does not exist.
    """

    path: str
    dataset: str = "CIFAR10"

    def splits(self) -> Datasets:
        if not Path(self.path).expanduser().exists():
            download(self.dataset, Path(self.path).expanduser())
        return Npz(self.path).splits()


def cause(error: Exception) -> str:
    """What a failed download says, on one line and without the addresses that were tried."""
    found = re.search(r"<urlopen error (?:\[Errno -?\d+\] )?(.+?)>", str(error))
    return found[1] if found else " ".join(str(error).split())


def download(dataset: str, path: Path) -> None:
    """Download a data set with torchvision to `path`, completely or not at all.

    Raises:
        ValueError: if that fails, with two ways to get the file.
    """
    from torchvision import datasets

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        try:
            train, test = (
                getattr(datasets, dataset)(folder, train=train, download=True)
                for train in (True, False)
            )
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"there is no file {path}, and torchvision could not download {dataset} "
                f"({cause(error)}); run the same command with a network connection, or set "
                "data.path to an .npz file with train_images, train_labels, test_images and "
                "test_labels"
            ) from error
        whole = Path(folder) / "whole.npz"
        np.savez(
            whole,
            train_images=np.asarray(train.data),
            train_labels=np.asarray(train.targets),
            test_images=np.asarray(test.data),
            test_labels=np.asarray(test.targets),
            class_names=np.asarray(train.classes),
        )
        os.replace(whole, path)
