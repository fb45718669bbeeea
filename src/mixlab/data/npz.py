"""Reading `.npz` files in the MedMNIST layout.

`train_images` uint8 (N, H, W) or (N, H, W, C) and `train_labels` integer (N,) or (N, 1), or 0 and 1
(N, classes) for several labels an image, and the same for `val_` and `test_`, which may be missing.
An optional `class_names` names the classes.
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixlab.data.spec import SPLITS
from mixlab.errors import UserError

LAYOUT = "train_images (uint8, N x H x W or N x H x W x C) and train_labels (integers, N or N x 1)"
KEYS = (
    "train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels",
    "class_names",
)  # fmt: skip
# Raised by numpy, zipfile and zlib, depending on where a file is damaged.
UNREADABLE_NPZ = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error)
MAX_CHANNELS = 16  # a longer fourth axis is depth


def read_npz(
    path: str | Path,
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], tuple[str, ...]]:
    """Read a whole file.

    Returns:
        uint8 images (N, H, W) or (N, H, W, C) and integer labels (N,) or (N, classes) of each split
        in the file, and the names of the classes (empty if the file has none).

    Raises:
        ValueError: naming file, key and remedy, if the layout is different.
    """
    path = Path(path).expanduser()
    found, others = load_arrays(path)
    splits = {}
    for split in SPLITS:
        images_key, labels_key = f"{split}_images", f"{split}_labels"
        if images_key not in found or labels_key not in found:
            if split == "train":
                raise UserError(f"{path} has {', '.join(others) or 'nothing'}; it needs {LAYOUT}")
            continue
        images = check_images(found[images_key], f"{images_key} of {path}")
        targets = labels_of(found[labels_key], f"{labels_key} of {path}")
        if len(images) != len(targets):
            raise UserError(
                f"{path} has {len(images)} {images_key} but {len(targets)} {labels_key}; each "
                "image needs one label"
            )
        splits[split] = images, targets
    return splits, tuple(str(name) for name in found.get("class_names", ()))


def load_arrays(
    path: Path, keys: Sequence[str] = KEYS, if_missing: str = "set data.path to an .npz file"
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays called `keys` in a file, and the names of all its arrays.

    `if_missing` is the remedy where there is no file.
    """
    try:
        with path.open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise zipfile.BadZipFile("no whole zip archive")
            stream.seek(0)
            file = np.load(stream, allow_pickle=False)
            return {name: file[name] for name in keys if name in file}, list(file.files)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; {if_missing}") from None
    except UNREADABLE_NPZ as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{path} is damaged or not an .npz file ({reason}); fetch or write it again"
        ) from error


def check_images(images: np.ndarray, where: str) -> np.ndarray:
    shape = images.shape
    if images.ndim == 4 and shape[1] in (1, 3) and shape[3] > MAX_CHANNELS:
        raise UserError(f"{where} have shape {shape}; put the channels last, as N x H x W x C")
    if images.ndim == 5 or (images.ndim == 4 and shape[3] > MAX_CHANNELS):
        raise UserError(
            f"{where} are 3-D volumes of shape {shape}; mixlab takes 2-D images, so cut slices out "
            "of them first"
        )
    if images.ndim not in (3, 4) or 0 in shape:
        raise UserError(f"{where} have shape {shape}; it must be N x H x W or N x H x W x C")
    if images.dtype != np.uint8:
        raise UserError(f"{where} are {images.dtype}; they must be uint8, from 0 to 255")
    return images


def labels_of(labels: np.ndarray, where: str) -> np.ndarray:
    """Classes (N,), or 0 and 1 (N, classes) of several labels a row; raises UserError for others.

    Several labels may be floats or flags.
    """
    if labels.ndim == 2 and labels.shape[1] > 1:
        wrong = np.argwhere((labels != 0) & (labels != 1))
        if len(wrong):
            row, column = wrong[0]
            raise UserError(
                f"{where} have the value {labels[row, column]} in row {row}, column {column}; "
                f"{labels.shape[1]} columns are several labels a row, each 0 or 1; give class "
                "numbers as N or N x 1"
            )
        return labels.astype(np.int64)
    labels = labels.reshape(-1)
    if labels.dtype.kind not in "iu":
        raise UserError(f"{where} are {labels.dtype}; they must be integers counted from 0")
    return labels
