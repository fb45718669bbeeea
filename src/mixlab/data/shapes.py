"""A small generated segmentation set: no file, no download, and exact masks."""

from dataclasses import dataclass

import numpy as np
import torch

from mixlab.data.in_memory import ArrayDataset
from mixlab.data.spec import Datasets

CLASSES = ("background", "disc", "square", "triangle")
SIDE = 64  # pixels
SPLIT_SIZES = {"train": 1024, "val": 128, "test": 256}


@dataclass(frozen=True)
class Shapes:
    """Color images with one to three shapes on a noisy ground, and the class of each pixel.

    uint8 images (N, 3, 64, 64) and uint8 (N, 64, 64) masks of the numbers of `CLASSES`, the same
    in every run and different ones in each split.
    """

    def splits(self) -> Datasets:
        return Datasets(**{split: pictures(split) for split in SPLIT_SIZES})


def pictures(split: str) -> ArrayDataset:
    """The images and masks of a split."""
    rng = np.random.default_rng(sorted(SPLIT_SIZES).index(split))
    pairs = [picture(rng) for _ in range(SPLIT_SIZES[split])]
    images, masks = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*pairs, strict=True))
    return ArrayDataset(images.movedim(3, 1).contiguous(), masks, CLASSES, "shapes")


def picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One image (SIDE, SIDE, 3) and its mask (SIDE, SIDE); later shapes hide earlier ones."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    ground = rng.integers(40, 216, 3)
    colors = ground + np.zeros((SIDE, SIDE, 3))
    for _ in range(rng.integers(1, 4)):
        kind = int(rng.integers(1, len(CLASSES)))
        inside = shape(kind, rng)
        mask[inside] = kind
        colors[inside] = (
            ground + rng.integers(64, 192, 3)
        ) % 256  # differs from it in every channel
    noisy = colors + rng.normal(0, 20, colors.shape)
    return noisy.clip(0, 255).astype(np.uint8), mask


def shape(kind: int, rng: np.random.Generator) -> np.ndarray:
    """bool (SIDE, SIDE), the pixels of a disc (1), square (2) or triangle (3) at random."""
    radius = rng.uniform(6, 16)
    center = rng.uniform(radius, SIDE - radius, 2)
    down, right = np.mgrid[:SIDE, :SIDE] - center[:, None, None]
    if kind == 1:
        return down**2 + right**2 <= radius**2
    inside = (np.abs(down) <= radius) & (np.abs(right) <= radius)
    return inside if kind == 2 else inside & (2 * np.abs(right) <= down + radius)
