"""The record of a run whose process is gone; a hard death is written down with its reason."""

import signal
from pathlib import Path
from typing import Any

from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.folder import now
from mixlab.runs.locks import ANOTHER, is_running, seconds_with
from mixlab.runs.status import UNSETTLED, Status, status_of, transition


def record_exit(folder: Path, exit_code: int, stopped: bool = False) -> dict[str, Any]:
    """Set a run's record right where its process could not; returns it.

    Args:
        stopped: whether the process was asked to stop.
    """
    record = read_json(folder / "run.json")
    if exit_code == 2 and is_running(folder):  # the job has found the run in somebody's hands
        return {**record, "error": f"by {ANOTHER}"}
    if exit_code != 0 and status_of(record) in UNSETTLED:
        asked = stopped or exit_code == -signal.SIGTERM
        facts: dict[str, Any] = {"error": exit_reason(exit_code, stopped), "ended": now()}
        if status_of(record) is Status.RUNNING:
            facts["seconds"] = seconds_with(folder, record)
        record = transition(record, Status.INTERRUPTED if asked else Status.FAILED, **facts)
        write_json(folder / "run.json", record)
    return record


def exit_reason(exit_code: int, stopped: bool = False) -> str:
    """An exit code in words."""
    if exit_code >= 0:
        return f"the process ended with status {exit_code}; see log.txt"
    name = signal.Signals(-exit_code).name
    if stopped and name == "SIGTERM":
        return "stopped with the sweep before it had anything to save"
    hint = " (out of memory?)" if name == "SIGKILL" and not stopped else ""
    return f"the process was killed by {name}{hint}"
