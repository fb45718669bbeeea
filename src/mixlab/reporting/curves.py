"""Learning curves of an arm: the mean over its runs, and the band from lowest to highest."""

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mixlab.reporting.records import Run


@dataclass(frozen=True)
class Band:
    """A metric over epochs; arrays of one length."""

    epochs: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def read(run: Run, metrics: Collection[str]) -> dict[str, dict[int, float]]:
    """The value of each metric by epoch, the last one logged in it; {} if metrics.csv is absent."""
    found: dict[str, dict[int, float]] = {metric: {} for metric in metrics}
    try:
        with (run.folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            epoch = header.index("epoch") if "epoch" in header else None
            places = [
                (header.index(metric), found[metric]) for metric in metrics if metric in header
            ]
            for row in rows if epoch is not None else ():
                for place, values in places:
                    if place < len(row) and row[place]:
                        values[int(float(row[epoch]))] = float(row[place])
    except (OSError, ValueError, csv.Error):
        return {}  # the rest of the report does not hang on a broken curve
    return {metric: values for metric, values in found.items() if values}


def band(curves: Sequence[dict[int, float]]) -> Band | None:
    """The band over the epochs that every curve has; None if there are none."""
    shared = set.intersection(*map(set, curves)) if curves else set()
    epochs = np.array(sorted(shared), dtype=int)
    values = np.array([[curve[epoch] for epoch in epochs] for curve in curves])
    if not epochs.size or not np.isfinite(values).all():
        return None
    return Band(epochs, values.mean(axis=0), values.min(axis=0), values.max(axis=0))
