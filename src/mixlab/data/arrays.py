"""Embeddings and other arrays of numbers from an `.npz` file with `X` and `y`."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixlab.data.in_memory import ArrayDataset
from mixlab.data.npz import labels_of, load_arrays
from mixlab.data.rows import array_rows, with_test_rows
from mixlab.data.spec import Datasets
from mixlab.errors import UserError

PARTS_OF_FILE = {"train": "", "val": "_val", "test": "_test"}
FEATURES = ("last", "first", "points")
KEYS_OF_FILE = (
    *(f"{key}{suffix}" for suffix in PARTS_OF_FILE.values() for key in ("X", "y")),
    "class_names",
)
LAYOUT_OF_FILE = "X (numbers, N x D or N x T x D) and y (N)"
EXAMPLE = "embeddings.npz"  # the file of experiment=embeddings


@dataclass(frozen=True)
class Arrays:
    """`X` (N, D), (N, T, D) or (N, C, L) numbers and `y`, of a file.

    `y` is integers (N,), or 0 and 1 (N, classes) for several labels a row. `X_val`, `y_val`,
    `X_test`, `y_test` and `class_names` may be in the file, too.

    Attributes:
        path: of the file.
        features: the axis of (N, T, D) where they lie: `last`, or `first` for signals (N, C, L);
            `points` for clouds (N, coordinates, points), whose last axis has no order.
        test_size: without test rows in the file, fraction or number of the rows that test.
    """

    path: str
    features: str = "last"
    test_size: float = 0

    def splits(self) -> Datasets:
        """Read the file; raises UserError with key and remedy if it has another layout."""
        path = Path(self.path).expanduser()
        found, others = load_arrays(path, KEYS_OF_FILE, remedy_without(path))
        if "X" not in found or "y" not in found:
            has = ", ".join(others) or "nothing"
            raise UserError(f"{path} has {has}; it needs {LAYOUT_OF_FILE}")
        if self.features not in FEATURES:
            known = ", ".join(FEATURES)
            raise UserError(f"data.features must be one of {known}, got {self.features!r}")
        names = tuple(str(name) for name in found.get("class_names", ()))
        parts = {
            part: self.part(found, suffix, path, names)
            for part, suffix in PARTS_OF_FILE.items()
            if f"X{suffix}" in found and f"y{suffix}" in found
        }
        if "test" in parts:
            if self.test_size:
                raise UserError(f"{path} has X_test and y_test, so data.test_size must be 0")
            return Datasets(**parts)
        return with_test_rows(parts["train"], self.test_size)._replace(val=parts.get("val"))

    def part(
        self, found: dict[str, np.ndarray], suffix: str, path: Path, names: tuple[str, ...]
    ) -> ArrayDataset:
        """The rows of one part."""
        rows, where = found[f"X{suffix}"], f"X{suffix} of {path}"
        if rows.dtype.kind not in "fiu" or rows.ndim not in (2, 3) or 0 in rows.shape:
            raise UserError(
                f"{where} is {rows.dtype} of shape {rows.shape}; it must be numbers, N x D or "
                "N x T x D"
            )
        labels = labels_of(found[f"y{suffix}"], f"y{suffix} of {path}")
        axis = -1 if rows.ndim == 3 and self.features == "last" else 0
        is_cloud = rows.ndim == 3 and self.features == "points"
        return array_rows(
            rows, labels, class_names=names, source=where, feature_axis=axis, is_cloud=is_cloud
        )


def remedy_without(path: Path) -> str:
    """What to do where the file at `path` is missing."""
    own = f"set data.path to an .npz file with {LAYOUT_OF_FILE}"
    if path.name != EXAMPLE:
        return own
    command = f"python scripts/digits_embeddings.py {shlex.quote(str(path))}"
    return f"make the example with `{command}`, or {own}"
