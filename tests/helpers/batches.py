"""Small data sets for the tests."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from mixlab.data import ArrayDataset, Datasets, ImageDataModule


def pictures(rows: int = 60, *, channels: int = 1, side: int = 28, classes: int = 10) -> Any:
    """An `ArrayDataset` of noise, in which the classes follow one another."""
    generator = torch.Generator().manual_seed(rows)
    shape = (rows, channels, side, side)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    names = tuple(f"class {number}" for number in range(classes))
    return ArrayDataset(images, torch.arange(rows) % classes, names, "pictures")


def module(rows: int = 60, **options: Any) -> ImageDataModule:
    """A data module on `pictures`."""
    return ImageDataModule(Datasets(pictures(rows), None, pictures(20)), **options)


class Noisy(Dataset):
    """Draws from all three global generators for every image, as libraries' transforms do."""

    classes = ("a", "b", "c")

    def __init__(self, rows: int = 24) -> None:
        self.rows = rows
        self.targets = [row % 3 for row in range(rows)]

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        noise = torch.rand(1, 28, 28) + float(np.random.rand()) + random.random()
        return (noise + row) / (self.rows + 3), self.targets[row]


class Pictures(Dataset):
    """PIL images, of any mode; `labels` may be wrong on purpose."""

    def __init__(self, mode: str = "RGB", *, labels: Any = (0, 1), side: Any = 28) -> None:
        self.mode, self.given, self.side = mode, labels, side

    def __len__(self) -> int:
        return len(self.given)

    def __getitem__(self, row: int) -> tuple[Image.Image, Any]:
        side = self.side if isinstance(self.side, int) else self.side[row]
        return Image.new(self.mode, (side, side), "white"), self.given[row]


def write_npz(path: Path, **changes: Any) -> Path:
    """A file in the MedMNIST layout, with some keys changed, or left out if None."""
    arrays: dict[str, Any] = {}
    for split, rows in (("train", 30), ("val", 10), ("test", 12)):
        arrays[f"{split}_images"] = np.full((rows, 28, 28), rows, np.uint8)
        arrays[f"{split}_labels"] = (np.arange(rows) % 3)[:, None].astype(np.uint8)
    arrays.update(changes)
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path
