"""The record of a run whose process is gone; a hard death is written down with its reason."""

import signal
from pathlib import Path
from typing import Any

from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.folder import now
from mixlab.runs.locks import ANOTHER, is_running, seconds_with

UNSETTLED = (None, "planned", "running")  # what a process leaves behind that could say nothing more


def record_exit(folder: Path, exit_code: int, stopped: bool = False) -> dict[str, Any]:
    """Set a run's record right where its process could not; returns it.

    Args:
        stopped: whether the process was asked to stop.
    """
    record = read_json(folder / "run.json")
    if exit_code == 2 and is_running(folder):  # the job has found the run in somebody's hands
        return {**record, "error": f"by {ANOTHER}"}
    if exit_code != 0 and record.get("status") in UNSETTLED:
        status = "interrupted" if stopped or exit_code == -signal.SIGTERM else "failed"
        facts: dict[str, Any] = {
            "status": status,
            "error": exit_reason(exit_code, stopped),
            "ended": now(),
        }
        if record.get("status") == "running":
            facts["seconds"] = seconds_with(folder, record)
        record = {**record, **facts}
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
