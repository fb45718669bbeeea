"""The states of runs: shown as a table, and set back to planned."""

import csv
import os
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.cells import cell_len

from mixlab.errors import counted
from mixlab.reporting.labels import Settings, knob_labels, settings
from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.locks import last_heartbeat, lock
from mixlab.runs.records import STATUSES, StoredRun, find, finite_number, one_line, shown_path
from mixlab.runs.status import BROKEN, Status, transition

STATUS_COLUMNS = (
    "arm", "seed", "state", "epochs", "heartbeat", "seconds", "again", "folder", "error",
)  # fmt: skip
BEATS = (Status.RUNNING, Status.INTERRUPTED)  # of the others the time since then says nothing
MANY_ARMS = 500
TAIL = 65536  # bytes at the end of metrics.csv, which have its last row


def print_status(paths: Sequence[str], index: Path | None = None) -> None:
    """Print a line for each run under `paths`; with `index`, list them in that sweep folder."""
    runs = find(paths).runs
    names = arm_names(runs)
    for line in aligned([STATUS_COLUMNS, *(row(run, names[run.folder.parent]) for run in runs)]):
        print(line)
    print(state_counts(runs))
    if index is not None:
        print(f"listed in {shown_path(write_index(index, runs))}")


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A line for each row, its cells below each other; rich would take a minute for 10,000."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        padded = (
            cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True)
        )
        yield "  ".join(padded).rstrip()


def arm_names(runs: Sequence[StoredRun]) -> dict[Path, str]:
    """The arms in words, by their folders, as `mixup alpha=0.2 p=1`.

    One without a configuration has the words that its sweep has recorded, or its folder's name. Of
    very many arms these words are used for all, as reading and comparing takes seconds.
    """
    labels = {run.folder.parent: run.record.get("label") for run in runs}
    if len(labels) > MANY_ARMS and all(labels.values()):
        return {folder: str(label) for folder, label in labels.items()}
    known: dict[Path, Settings] = {}
    for run in runs:
        if run.folder.parent not in known and run.config:  # the seeds of an arm have its settings
            known[run.folder.parent] = settings(run)
    words = knob_labels({str(folder): one for folder, one in known.items()})
    recorded = {run.folder.parent: run.record.get("label") or run.slug for run in runs}
    return {folder: words.get(str(folder), str(label)) for folder, label in recorded.items()}


def row(run: StoredRun, arm: str) -> tuple[str, ...]:
    """The cells of a run; its folder can be pasted into a command."""
    seconds = finite_number(run.record.get("seconds"))
    again = len(run.record.get("history") or ())
    return (
        one_line(arm, 100),
        "-" if run.seed is None else str(run.seed),
        run.status,
        epochs(run),
        ago(last_heartbeat(run.folder)) if run.status in BEATS else "-",
        "-" if seconds is None else f"{seconds:.1f}",
        str(again) if again else "",  # earlier trainings that did not end well
        shlex.quote(shown_path(run.folder)),
        one_line(run.problem, 120),
    )


def epochs(run: StoredRun) -> str:
    """Finished epochs: as recorded, or else as in metrics.csv."""
    recorded = finite_number(run.record.get("epochs"))
    if run.status == Status.FINISHED and recorded is not None:
        return f"{recorded:g}"
    reached = last_epoch(run.folder / "metrics.csv")
    return "-" if reached is None else f"{reached + 1}"


def last_epoch(file: Path) -> int | None:
    """The last epoch with a training loss; None if there is none."""
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
    """Write sweep.json, which lists the runs of a sweep."""
    sweep.mkdir(parents=True, exist_ok=True)
    file = sweep.resolve() / "sweep.json"
    listed = [os.path.relpath(run.folder, file.parent) for run in runs]
    write_json(file, {"name": file.parent.name, "runs": listed})
    return file


def retry(paths: Sequence[str], states: Sequence[str] = BROKEN) -> int:
    """Set runs in one of `states` to planned, their errors kept in `history`; returns how many.

    Nothing is trained here, because a run folder of somebody else's may ask for code.
    """
    marked = 0
    for run in find(paths).runs:
        if run.status in states and mark_planned(run.folder):
            marked += 1
            print(f"planned, was {run.status}: {shown_path(run.folder)}")
    if marked:
        count = counted(marked, "run")
        print(f"{count} marked; the command that began them trains them again")
    else:
        print(f"no run is {' or '.join(states)}")
    return marked


def mark_planned(folder: Path) -> bool:
    """Write the new state of one run; False if it is being trained."""
    descriptor = lock(folder)
    if descriptor is None:
        return False
    try:
        record = transition(read_json(folder / "run.json"), Status.PLANNED, error=None)
        write_json(folder / "run.json", record)
    finally:
        os.close(descriptor)
    return True
