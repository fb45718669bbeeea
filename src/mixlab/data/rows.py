"""Rows that are no images: what every source of them checks, and how it holds out test rows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from mixlab.data.holdout import hold_out
from mixlab.data.in_memory import ArrayDataset
from mixlab.data.spec import Datasets
from mixlab.errors import UserError


def array_rows(
    rows: np.ndarray,
    labels: np.ndarray,
    *,
    class_names: Sequence[str] = (),
    source: str,
    feature_axis: int = 0,
    is_cloud: bool = False,
) -> ArrayDataset:
    """A data set of numbers (N, ...) and int (N,) classes or 0 and 1 (N, C) of several labels.

    Raises:
        UserError: a number is not finite, or there are not as many labels as rows.
    """
    if len(rows) != len(labels):
        raise UserError(f"{source} has {len(rows)} rows but {len(labels)} labels; each needs one")
    values = np.ascontiguousarray(rows, np.float32)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        raise UserError(
            f"row {wrong[0, 0]} of {source} has the value {values[tuple(wrong[0])]}; fill in or "
            "leave out what is missing"
        )
    return ArrayDataset(
        torch.from_numpy(values),
        torch.from_numpy(np.ascontiguousarray(labels, np.int64)),
        tuple(str(name) for name in class_names),
        source,
        feature_axis,
        is_cloud=is_cloud,
    )


def with_test_rows(data: ArrayDataset, size: float) -> Datasets:
    """Training and test rows, held out as `hold_out` does; a share of each class where it has one.

    Args:
        size: of the test part, a fraction or a number of rows; 0 makes none.
    """
    classes = data.targets.numpy() if data.targets.ndim == 1 else None
    parts = hold_out(classes, len(data), size, key="data.test_size")
    train, test = (
        replace(data, images=data.images[rows], targets=data.targets[rows])
        for rows in map(torch.from_numpy, parts)
    )
    return Datasets(train, None, test if len(test) else None)
