"""Data: sources of images, their order, and their processing before mixing."""

from mixlab.data.augmentation import FlipCrop
from mixlab.data.csv_files import Csv
from mixlab.data.datamodule import ImageDataModule
from mixlab.data.downloads import Flowers102, MedMnist
from mixlab.data.folder import Folder
from mixlab.data.in_memory import ArrayDataset
from mixlab.data.lightning import LightningSource
from mixlab.data.shapes import Shapes
from mixlab.data.shards import Shards
from mixlab.data.sources import Digits, Downloaded, Npz
from mixlab.data.spec import Datasets, ImageSpec, Source

__all__ = [
    "ArrayDataset",
    "Csv",
    "Datasets",
    "Digits",
    "Downloaded",
    "FlipCrop",
    "Flowers102",
    "Folder",
    "ImageDataModule",
    "ImageSpec",
    "LightningSource",
    "MedMnist",
    "Npz",
    "Shapes",
    "Shards",
    "Source",
]
