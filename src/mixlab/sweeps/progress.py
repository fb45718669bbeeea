"""Says what becomes of the jobs: a line for each end, and on a terminal a table of what runs."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from mixlab.runs.status import Status, results_line, run_name
from mixlab.sweeps.exit_status import record_exit
from mixlab.sweeps.worker import JobSpec


class Progress:
    """Counts and names the jobs of one sweep.

    Args:
        total: how many there will be.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.finished = 0
        self.failed = 0
        self.running: dict[Path, float] = {}  # since when, on the monotonic clock
        self._began = time.monotonic()
        self._live: Any = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within, standard output has the table at its end, if it is a terminal."""
        if not sys.stdout.isatty():
            yield
            return
        from rich.console import Console
        from rich.live import Live

        often = {"transient": True, "refresh_per_second": 2}
        with Live(console=Console(), get_renderable=self.table, **often) as self._live:
            yield
        self._live = None

    def begun(self, ticket: JobSpec) -> None:
        """A job's process is there."""
        self.running[ticket.folder] = time.monotonic()

    def done(self, ticket: JobSpec, exit_code: int, stopped: bool = False) -> None:
        """One job has ended: set its record right if it could not, and say so."""
        self.running.pop(ticket.folder, None)
        try:
            record = record_exit(ticket.folder, exit_code, stopped)
        except (OSError, ValueError) as error:  # a full disk, say: the other jobs go on
            record = {"status": Status.FAILED, "error": f"no record could be written: {error}"}
        good = record.get("status") == Status.FINISHED
        self.finished += good
        self.failed += not good
        count = f"{self.finished + self.failed}/{self.total}"
        self.say(f"[{count}] {run_name(ticket.folder)}: {run_outcome(record)}")

    def say(self, line: str) -> None:
        """A line that stays. The jobs go on where it cannot be printed: `| head`, a full disk."""
        try:
            if self._live is None:
                print(line, flush=True)
            else:
                self._live.console.print(line, highlight=False, markup=False, soft_wrap=True)
        except OSError:
            be_silent()

    def table(self) -> Any:
        """What has been done, what runs since when, and how long the rest may take."""
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
        """The time that the others have taken so far, times those that are left."""
        over = self.finished + self.failed
        if not over:
            return "-:--:--"
        return clock((time.monotonic() - self._began) / over * (self.total - over))


def be_silent() -> None:
    """Let nothing more that is printed fail."""
    with suppress(OSError, ValueError):  # no file behind it
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def clock(seconds: float) -> str:
    """`0:01:05`."""
    return str(timedelta(seconds=int(seconds)))


def run_outcome(record: dict[str, Any]) -> str:
    """A finished run's figures, or why there are none."""
    status = record.get("status", Status.FAILED)
    if status != Status.FINISHED:
        return f"{status}: {' '.join(str(record.get('error')).split())[:200]}"
    return f"{results_line(record['results'])}, {record.get('seconds', 0):.1f} s"
