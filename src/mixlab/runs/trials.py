"""What a trial and its search tell each other, through files in the trial's run folder.

The run adds a line for each epoch, and the search writes a file that asks it to stop. So only the
search opens its database, and a run on another machine needs neither that file nor Optuna.
"""

import json
import math
from pathlib import Path
from typing import Any

from mixlab.runs.atomic import read_json, write_json

REPORTS, STOP = "trial.jsonl", "trial_stop.json"
TRIAL_SEEDS = 1_000_000  # trials are trained at seeds from here on, so those of sweeps stay fresh


def report_epoch(folder: Path, epoch: int, value: float) -> None:
    """Add the figure of an epoch (counted from 0) to the reports of a run."""
    with open(folder / REPORTS, "a", encoding="utf-8") as file:
        file.write(json.dumps({"epoch": epoch, "value": value}) + "\n")


def reports(folder: Path) -> dict[int, float]:
    """The finite figures that a run has reported, by epoch; a line cut short is left out."""
    try:
        lines = (folder / REPORTS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    rows = (read_row(line) for line in lines)
    return {row["epoch"]: row["value"] for row in rows if row and math.isfinite(row["value"])}


def read_row(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except ValueError:
        return None


def ask_to_stop(folder: Path, why: str) -> None:
    """Ask the run to stop at the end of its epoch."""
    write_json(folder / STOP, {"why": why})


def stop_reason(folder: Path) -> str | None:
    """Why the search asks the run to stop; None if it does not."""
    return read_json(folder / STOP).get("why")


def forget_stop(folder: Path) -> None:
    """Remove what an earlier search asked."""
    (folder / STOP).unlink(missing_ok=True)
