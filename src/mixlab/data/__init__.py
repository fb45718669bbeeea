"""Data: sources of images and other rows, their order, and their processing before mixing."""

from mixlab.data.arrays import Arrays
from mixlab.data.augmentation import FlipCrop
from mixlab.data.clouds import Clouds
from mixlab.data.csv_files import Csv
from mixlab.data.datamodule import ImageDataModule
from mixlab.data.downloads import Flowers102, MedMnist
from mixlab.data.folder import Folder
from mixlab.data.in_memory import ArrayDataset
from mixlab.data.lightning import LightningSource
from mixlab.data.shapes import Shapes
from mixlab.data.shards import Shards
from mixlab.data.sources import Digits, Downloaded, Npz
from mixlab.data.spec import Datasets, DataSpec, ImageSpec, Source
from mixlab.data.tables import SklearnTable
from mixlab.data.waves import Waves

__all__ = [
    "ArrayDataset",
    "Arrays",
    "Clouds",
    "Csv",
    "DataSpec",
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
    "SklearnTable",
    "Source",
    "Waves",
]
