"""The jobs' progress: a record and a line for each end, and on a terminal a table of running jobs.

A process that was killed could not record how it ended, so that is done here.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.folder import now
from mixlab.runs.locks import ANOTHER, is_running, seconds_with
from mixlab.runs.status import UNSETTLED, Status, results_line, run_name, status_of, transition
from mixlab.sweeps.worker import JobSpec


class Progress:
    """Counts and names the jobs of one sweep.

    Args:
        total: the number of jobs.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.finished = 0
        self.failed = 0
        self.running: dict[Path, float] = {}  # when each started, on the monotonic clock
        self._began = time.monotonic()
        self._live: Any = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within, a terminal shows the table below the output."""
        if not sys.stdout.isatty():
            yield
            return
        from rich.console import Console
        from rich.live import Live

        options = {"transient": True, "refresh_per_second": 2}
        with Live(console=Console(), get_renderable=self.table, **options) as self._live:
            yield
        self._live = None

    def begun(self, spec: JobSpec) -> None:
        """A job has started."""
        self.running[spec.folder] = time.monotonic()

    def done(self, spec: JobSpec, exit_code: int, stopped: bool = False) -> None:
        """A job has ended: complete its record if it could not, and print a line."""
        self.running.pop(spec.folder, None)
        try:
            record = record_exit(spec.folder, exit_code, stopped)
        except (OSError, ValueError) as error:  # such as a full disk: the other jobs continue
            record = {"status": Status.FAILED, "error": f"no record could be written: {error}"}
        if record.get("status") == Status.FINISHED:
            self.finished += 1
        else:
            self.failed += 1
        count = f"{self.finished + self.failed}/{self.total}"
        self.say(f"[{count}] {run_name(spec.folder)}: {run_outcome(record)}")

    def say(self, line: str) -> None:
        """Print a line. If it cannot be printed (`| head`, a full disk), the jobs continue."""
        try:
            if self._live is None:
                print(line, flush=True)
            else:
                self._live.console.print(line, highlight=False, markup=False, soft_wrap=True)
        except OSError:
            with suppress(OSError, ValueError):  # ValueError: there is no file behind it
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, sys.stdout.fileno())
                os.close(nowhere)

    def table(self) -> Any:
        """The number of jobs that are done, the running ones, and the time left."""
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True)
        failed = f", {self.failed} failed" if self.failed else ""
        table.add_row(f"{self.finished} of {self.total} runs done{failed}", f"eta {self.eta()}")
        for folder, began in list(self.running.items()):
            table.add_row(f"  {run_name(folder)}", clock(time.monotonic() - began))
        return table

    def eta(self) -> str:
        """The mean time of the jobs that are done, times the number of those left."""
        over = self.finished + self.failed
        if not over:
            return "-:--:--"
        return clock((time.monotonic() - self._began) / over * (self.total - over))


def clock(seconds: float) -> str:
    """`0:01:05`."""
    return str(timedelta(seconds=int(seconds)))


def run_outcome(record: dict[str, Any]) -> str:
    """The figures of a finished run, or its error."""
    status = record.get("status", Status.FAILED)
    if status != Status.FINISHED:
        return f"{status}: {' '.join(str(record.get('error')).split())[:200]}"
    line = results_line(record["results"], record.get("monitor"))
    return f"{line}, {record.get('seconds', 0):.1f} s"


def record_exit(folder: Path, exit_code: int, stopped: bool = False) -> dict[str, Any]:
    """Complete the record of a run whose process could not, and return it.

    Args:
        stopped: whether the process was asked to stop.
    """
    record = read_json(folder / "run.json")
    if exit_code == 2 and is_running(folder):  # the job found that another process trains the run
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
