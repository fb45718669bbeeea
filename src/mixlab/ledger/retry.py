"""Mark runs to be trained again. Nothing is trained here: a stranger's folder may ask for code."""

import os
from collections.abc import Sequence

from mixlab.errors import counted
from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.locks import lock
from mixlab.runs.records import StoredRun, find, shown_path
from mixlab.runs.status import RETRIED, Status, transition


def retry(paths: Sequence[str], states: Sequence[str] = RETRIED) -> int:
    """Set runs in one of `states` to planned, their errors kept in `history`; returns how many."""
    chosen = [run for run in find(paths).runs if run.status in states]
    marked = [run for run in chosen if mark(run)]
    for run in marked:
        print(f"planned, was {run.status}: {shown_path(run.folder)}")
    if marked:
        count = counted(len(marked), "run")
        print(f"{count} marked; the command that began them trains them again")
    else:
        print(f"no run is {' or '.join(states)}")
    return len(marked)


def mark(run: StoredRun) -> bool:
    """Write the record of one run anew; False where it is being trained."""
    descriptor = lock(run.folder)
    if descriptor is None:
        return False
    try:
        record = transition(read_json(run.folder / "run.json"), Status.PLANNED, error=None)
        write_json(run.folder / "run.json", record)
    finally:
        os.close(descriptor)
    return True
