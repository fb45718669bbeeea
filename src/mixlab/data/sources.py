"""Where data sets in memory come from. Each class is one split; `configs/data` names them."""

import os
import tempfile
from pathlib import Path

import numpy as np

from mixlab.data.holdout import hold_out
from mixlab.data.in_memory import ArrayDataset, from_numpy
from mixlab.data.npz import LAYOUT, read_npz
from mixlab.errors import UserError

DIGITS_TEST_FRACTION = 0.2
SPLITS = ("train", "val", "test")


def check_split(name: str) -> None:
    if name not in SPLITS:
        raise UserError(f"split must be train, val or test, got {name!r}")


class Digits(ArrayDataset):
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, which come with the package.

    They have no test set of their own: a fifth of each class, the same in every run, is held back.
    """

    def __init__(self, split: str = "train") -> None:
        check_split(split)
        images, targets = load_digits()
        rows = digits_rows(targets)[split]
        names = tuple(str(digit) for digit in range(10))
        data = from_numpy(images[rows], targets[rows], class_names=names, source="digits")
        super().__init__(data.images, data.targets, data.class_names, data.source)


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """uint8 (1797, 8, 8) images, whose 17 grey levels are spread over 0..255, and labels."""
    from sklearn.datasets import load_digits as load

    bunch = load()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)  # pyright: ignore
    return images, bunch.target  # pyright: ignore


def digits_rows(targets: np.ndarray) -> dict[str, np.ndarray]:
    train, test = hold_out(targets, len(targets), DIGITS_TEST_FRACTION)
    return {"train": train, "val": train[:0], "test": test}


class Npz(ArrayDataset):
    """One split of an `.npz` file in the MedMNIST layout, see `read_npz`.

    A file without `val_images` has an empty split `val`; the same goes for `test`.
    """

    def __init__(self, path: str, split: str = "train", class_names: tuple[str, ...] = ()) -> None:
        check_split(split)
        images, targets, names = read_npz(path, split)
        data = from_numpy(
            images, targets, class_names=tuple(class_names) or names, source=str(path)
        )
        super().__init__(data.images, data.targets, data.class_names, data.source)


class Downloaded(Npz):
    """`FashionMNIST`, `CIFAR10` or another set of torchvision's, kept as an `.npz` file at `path`.

    The file is made by torchvision's download if it is not there.
    """

    def __init__(self, path: str, split: str = "train", dataset: str = "CIFAR10") -> None:
        if not Path(path).expanduser().exists():
            download(dataset, Path(path).expanduser())
        super().__init__(path, split)


def download(dataset: str, path: Path) -> None:
    """Fetch a data set with torchvision and write it to `path`, whole or not at all.

    Raises:
        ValueError: if that fails, with the two ways to get the file.
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
                f"({error}); run the same command where there is a network, or write the file "
                f"yourself: {LAYOUT}, and the same for test_"
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
