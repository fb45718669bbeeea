"""From composed configurations to jobs on this machine's cores or GPUs, and a line for each."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.runs.files import read_json, write_json
from mixlab.runs.identity import run_folder
from mixlab.runs.job import Ticket
from mixlab.runs.processes import run_all
from mixlab.runs.provenance import available_cores
from mixlab.runs.run import ANOTHER, is_running, now


def launch(
    configs: Sequence[DictConfig],
    jobs: int | None,
    jobs_per_device: int,
    written: Callable[[int], list[Ticket]] | None = None,
) -> None:
    """Train each configuration in a process of its own, as many at a time as fit the machine.

    Args:
        written: The jobs' tickets at a number of threads, where they are made more cheaply than
            from each configuration.
    """
    if not configs:
        return
    for name, value in (("jobs", jobs), ("jobs_per_device", jobs_per_device)):
        if value is not None and value < 1:
            raise ValueError(f"hydra.launcher.{name} must be above 0, got {value}")
    places = slots(configs[0], jobs, jobs_per_device)[: len(configs)]
    threads = threads_for(configs[0], len(places))
    tickets = written(threads) if written else [ticket(cfg, threads) for cfg in configs]
    board = Board(len(tickets))
    with board.shown():
        try:
            run_all(tickets, places, board.done)
        except KeyboardInterrupt:
            board.say("stopped; the same command goes on where each run was")
            raise


def slots(cfg: DictConfig, jobs: int | None, jobs_per_device: int) -> list[dict[str, str]]:
    """Environments of the jobs that run at the same time: cores, or GPUs handed out."""
    devices = processes_of(cfg)
    gpus = [] if cfg.trainer.accelerator == "cpu" else visible_gpus()
    if not gpus:
        return [{} for _ in range(jobs or max(1, available_cores() // devices))]
    each = len(gpus) if devices < 1 else devices
    groups = [gpus[start : start + each] for start in range(0, len(gpus) - each + 1, each)]
    shared = [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups] * jobs_per_device
    return shared[:jobs] if jobs else shared


def threads_for(cfg: DictConfig, jobs: int) -> int:
    """CPU threads of each job: two jobs that both use every core spin against each other."""
    return max(1, available_cores() // (jobs * max(1, processes_of(cfg))))


def processes_of(cfg: DictConfig) -> int:
    """Processes of one job; -1 for one a GPU."""
    devices = cfg.trainer.devices
    return int(devices) if isinstance(devices, int) or str(devices).lstrip("-").isdecimal() else 1


def visible_gpus() -> list[str]:
    """Names of the GPUs a job may be given. Asks NVML alone: CUDA here would forbid it there."""
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return named.split(",")[:count] if named else [str(number) for number in range(count)]


def ticket(cfg: DictConfig, threads: int) -> Ticket:
    """What the child needs; it resolves the run folder itself."""
    return Ticket(written_out(cfg, threads), run_folder(cfg))


def written_out(cfg: DictConfig, threads: int) -> str:
    """A job's configuration, as YAML."""
    cfg = cfg.copy()
    if cfg.threads == "auto":
        cfg.threads = threads
    cfg.trainer.enable_progress_bar = False
    return OmegaConf.to_yaml(cfg)


class Board:
    """Says what has become of each job: a line for each, and a bar where there is a terminal."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.failed = 0
        self.finished = 0
        self._began = time.monotonic()
        self._progress: Any = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        if not sys.stdout.isatty():
            yield
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
        with Progress(*columns, transient=True) as self._progress:
            self._progress.add_task("runs", total=self.total)
            yield

    def done(self, ticket: Ticket, exit_code: int) -> None:
        """One job has ended: set its record right if it could not, and say so."""
        record = settle(ticket.folder, exit_code)
        good = record.get("status") == "finished"
        self.finished += good
        self.failed += not good
        name = "/".join(ticket.folder.parts[-2:])
        self.say(f"[{self.finished + self.failed}/{self.total}] {name}: {outcome(record)}")

    def say(self, line: str) -> None:
        if self._progress is None:
            print(line, flush=True)
        else:
            self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)
            self._progress.update(0, completed=self.finished + self.failed)


def settle(folder: Path, exit_code: int) -> dict[str, Any]:
    """The record of a run whose process is gone; a hard death is written down with its reason."""
    record = read_json(folder / "run.json")
    if exit_code == 2 and is_running(folder):  # the job has found the run in somebody's hands
        return {**record, "error": f"by {ANOTHER}"}
    if exit_code != 0 and record.get("status") in (None, "planned", "running"):
        record = {**record, "status": "failed", "error": reason(exit_code), "ended": now()}
        write_json(folder / "run.json", record)
    return record


def reason(exit_code: int) -> str:
    """An exit code in words."""
    if exit_code >= 0:
        return f"the process ended with status {exit_code}; see log.txt"
    name = signal.Signals(-exit_code).name
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"the process was killed by {name}{hint}"


def outcome(record: dict[str, Any]) -> str:
    """A finished run's figures, or why there are none."""
    status = record.get("status", "failed")
    if status != "finished":
        return f"{status}: {' '.join(str(record.get('error')).split())[:200]}"
    from mixlab.train import summary

    return f"{summary(record['results'])} ({record.get('seconds', 0):.1f} s)"
