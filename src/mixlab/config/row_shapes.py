"""What a configuration says about the shape of a row, without importing or loading any data.

That is enough for the data of `configs/data`: some are always the same, others take their shape
from a setting, and of an `.npz` file the header of one array tells it.
"""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mixlab.config.build import plain

RowShape = tuple[int, ...]
Node = Mapping[str, Any]

OUR_DATA_MODULE = "mixlab.data.ImageDataModule"
WIDTH_OF_TABLE = {"wine": 13, "breast_cancer": 30, "digits": 64, "iris": 4}
DOWNLOADED_AS = {"FashionMNIST": (1, 28, 28), "CIFAR10": (3, 32, 32), "CIFAR100": (3, 32, 32)}
MOST_CHANNELS = 16  # a longer last axis of pictures is refused as depth
NO_HEADER = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def row_shape(data: DictConfig) -> RowShape | None:
    """The shape of a row as training will see it; None where only the data can tell."""
    if data.get("_target_") != OUR_DATA_MODULE or not data.get("source"):
        return None
    source = plain(data.source)
    known = SHAPE_OF_SOURCE.get(str(source.get("_target_")))
    shape = known(source) if known else None
    side = data.get("image_size")
    if shape is None or side is None:
        return shape
    return (shape[0], side, side) if len(shape) == 3 else None


def table_row(source: Node) -> RowShape | None:
    width = WIDTH_OF_TABLE.get(source.get("dataset", "wine"))
    return None if width is None else (width,)


def of_setting(channels: int, key: str, default: int) -> Callable[[Node], RowShape | None]:
    """Rows of a fixed number of channels, whose length is a setting."""

    def shape(source: Node) -> RowShape | None:
        length = source.get(key, default)
        return (channels, length) if isinstance(length, int) else None

    return shape


def picture_of_files(source: Node) -> RowShape | None:
    """Of files, which have any size, pictures of the one that they are resized to."""
    channels, side = source.get("channels", 3), source.get("image_size")
    return (channels, side, side) if isinstance(channels, int) and isinstance(side, int) else None


def picture_in_file(source: Node) -> RowShape | None:
    """In the MedMNIST layout: N x H x W or N x H x W x C."""
    shape, kind = array_in(source.get("path"), "train_images")
    if kind != "u" or 0 in shape or len(shape) not in (3, 4):
        return None
    _, height, width, channels = shape if len(shape) == 4 else (*shape, 1)
    return (channels, height, width) if channels <= MOST_CHANNELS else None


def picture_of_download(source: Node) -> RowShape | None:
    """As the file has it; as it will have it if it is still to be downloaded."""
    path = source.get("path")
    if path and Path(path).expanduser().exists():
        return picture_in_file(source)
    return DOWNLOADED_AS.get(source.get("dataset", "CIFAR10"))


def row_of_arrays(source: Node) -> RowShape | None:
    shape, kind = array_in(source.get("path"), "X")
    return shape[1:] if kind in ("f", "i", "u") and 0 not in shape and len(shape) > 1 else None


def array_in(path: Any, name: str) -> tuple[RowShape, str]:
    """Shape and kind of an array of an `.npz` file; of no kind where there is none."""
    try:
        place = Path(path).expanduser()
        return header_in(place, name, place.stat().st_mtime_ns)
    except (*NO_HEADER, TypeError):
        return (), ""


@lru_cache(maxsize=64)
def header_in(place: Path, name: str, changed: int) -> tuple[RowShape, str]:
    """What the header of an array says, read again when the file has `changed`."""
    import numpy as np  # not for each `--help`

    readers = {(1, 0): np.lib.format.read_array_header_1_0}
    readers[2, 0] = np.lib.format.read_array_header_2_0
    with zipfile.ZipFile(place) as file, file.open(f"{name}.npy") as array:
        shape, _, dtype = readers[np.lib.format.read_magic(array)](array)
    return shape, dtype.kind


SHAPE_OF_SOURCE: dict[str, Callable[[Node], RowShape | None]] = {
    "mixlab.data.Arrays": row_of_arrays,
    "mixlab.data.Clouds": of_setting(3, "points", 64),
    "mixlab.data.Csv": picture_of_files,
    "mixlab.data.Digits": lambda _: (1, 8, 8),
    "mixlab.data.Downloaded": picture_of_download,
    "mixlab.data.Flowers102": picture_of_files,
    "mixlab.data.Folder": picture_of_files,
    "mixlab.data.MedMnist": picture_in_file,
    "mixlab.data.Npz": picture_in_file,
    "mixlab.data.Shapes": lambda _: (3, 64, 64),
    "mixlab.data.Shards": picture_of_files,
    "mixlab.data.SklearnTable": table_row,
    "mixlab.data.Waves": of_setting(2, "length", 128),
}
