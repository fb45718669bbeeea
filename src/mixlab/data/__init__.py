"""Data: where images come from, in which order, and what happens to them before they are mixed."""

from mixlab.data.arrays import ArrayDataset
from mixlab.data.augmentation import FlipCrop
from mixlab.data.datamodule import ImageDataModule
from mixlab.data.sources import Digits, Downloaded, Npz
from mixlab.data.spec import ImageSpec

__all__ = [
    "ArrayDataset",
    "Digits",
    "Downloaded",
    "FlipCrop",
    "ImageDataModule",
    "ImageSpec",
    "Npz",
]
