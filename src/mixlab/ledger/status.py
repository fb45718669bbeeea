"""The ledger as a table: a line for each run, counts beneath."""

import csv
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mixlab.errors import counted
from mixlab.runs.atomic import write_json
from mixlab.runs.locks import last_heartbeat
from mixlab.runs.records import STATUSES, StoredRun, find, finite_number, one_line, shown_path
from mixlab.runs.status import Status

STATUS_COLUMNS = ("arm", "seed", "state", "epochs", "heartbeat", "seconds", "again", "error")
TAIL = 65536  # bytes of metrics.csv in which its last row is looked for


def status_table(runs: Sequence[StoredRun]) -> str:
    """A line for each run, in columns, and how many there are of each state."""
    rows = [STATUS_COLUMNS, *map(row, runs)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(STATUS_COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in rows
    ]
    return "\n".join([*lines, state_counts(runs)])


def row(run: StoredRun) -> tuple[str, ...]:
    """What the table says of a run."""
    seconds = finite_number(run.record.get("seconds"))
    again = len(run.record.get("history") or ())
    return (
        one_line(run.folder.parent.name, 60),
        "-" if run.seed is None else str(run.seed),
        run.status,
        epochs(run),
        ago(last_heartbeat(run.folder)),
        "-" if seconds is None else f"{seconds:.1f}",
        str(again) if again else "",  # trainings before this one that did not end well
        one_line(run.problem, 120),
    )


def epochs(run: StoredRun) -> str:
    """Epochs that were finished: as recorded, or as many as metrics.csv tells of."""
    recorded = finite_number(run.record.get("epochs"))
    if run.status == Status.FINISHED and recorded is not None:
        return f"{recorded:g}"
    reached = last_epoch(run.folder / "metrics.csv")
    return "-" if reached is None else f"{reached + 1}"


def last_epoch(file: Path) -> int | None:
    """The last whole row's epoch with figures of a whole epoch; None where there is none."""
    try:
        with open(file, "rb") as opened:
            columns = next(csv.reader([opened.readline().decode()]))
            opened.seek(max(opened.tell(), os.path.getsize(file) - TAIL))
            lines = opened.read().decode(errors="replace").splitlines()
    except (OSError, UnicodeDecodeError, StopIteration):
        return None
    for line in reversed(lines):
        found = dict(zip(columns, next(csv.reader([line]), []), strict=False))
        if found.get("epoch", "").isdecimal() and found.get("train/loss"):
            return int(found["epoch"])
    return None


def ago(moment: float | None) -> str:
    """`12 s ago`, from seconds since 1970."""
    if moment is None:
        return "-"
    seconds = max(0.0, time.time() - moment)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def state_counts(runs: Sequence[StoredRun]) -> str:
    """`6 runs: 4 finished, 1 failed, 1 planned`."""
    found = Counter(run.status for run in runs)
    parts = [f"{found[status]} {status}" for status in STATUSES if found[status]]
    return f"{counted(len(runs), 'run')}: {', '.join(parts)}"


def write_index(sweep: Path, runs: Sequence[StoredRun]) -> Path:
    """Write sweep.json, which lists the runs of a sweep, from the folders that were found."""
    sweep.mkdir(parents=True, exist_ok=True)
    file = sweep.resolve() / "sweep.json"
    listed = [os.path.relpath(run.folder, file.parent) for run in runs]
    write_json(file, {"name": file.parent.name, "runs": listed})
    return file


def print_status(paths: Sequence[str], index: Path | None = None) -> None:
    """Print the table of all runs under `paths`; with `index`, list them in that sweep folder."""
    runs = find(paths).runs
    print(status_table(runs))
    if index is not None:
        print(f"listed in {shown_path(write_index(index, runs))}")
