"""The losses of single steps that a run has logged."""

import csv
from pathlib import Path

from mixlab.callbacks.step_loss import STEP_LOSS


def logged_losses(folder: Path) -> dict[int, float]:
    """By step, from metrics.csv.

    Raises:
        ValueError: the run logged none.
    """
    file = folder / "metrics.csv"
    found = {}
    if file.is_file():
        with open(file, encoding="utf-8", newline="") as opened:
            for row in csv.DictReader(opened):
                if row.get(STEP_LOSS):
                    found[int(row["step"])] = float(row[STEP_LOSS])
    if not found:
        raise ValueError(f"{file} has no {STEP_LOSS}; only runs with logger=csv can be checked")
    return found
