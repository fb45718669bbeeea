"""Hundreds of jobs: neither the launcher nor the process that forks the jobs grows."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from faults.conftest import Injected
from helpers import fake_training as fake
from helpers.commands import WORDS, Command, make_lab
from helpers.nothing_lost import nothing_lost
from mixlab.runs.atomic import read_json
from mixlab.sweeps import launch
from mixlab.sweeps.pool import run_all
from mixlab.sweeps.progress import Progress
from mixlab.sweeps.worker import JobSpec

FAKE, REAL = 500, 200
Use = tuple[int, int, int]  # MiB of memory, open files, threads


def use(pid: int) -> Use:
    """What a process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    files, threads = (len(os.listdir(f"/proc/{pid}/{kind}")) for kind in ("fd", "task"))
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20, files, threads


def assert_flat(uses: list[Use]) -> None:
    """After a third of the jobs nothing grows: 8 MiB, 8 files and 2 threads are no growth.

    What each job left behind would be dozens of them.
    """
    third = len(uses) // 3
    for before, after, room in zip(
        *map(highest, (uses[:third], uses[-third:])), (8, 8, 2), strict=True
    ):
        assert after <= before + room, (uses[third], uses[-1])


def highest(uses: list[Use]) -> Use:
    memory, files, threads = map(max, zip(*uses, strict=True))
    return memory, files, threads


class Meter(Progress):
    """A board that reads at each job's end what launcher and fork server have."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.uses: dict[str, list[Use]] = {"launcher": [], "server": []}

    def done(self, ticket: JobSpec, exit_code: int, stopped: bool = False) -> None:
        super().done(ticket, exit_code, stopped)
        self.uses["launcher"].append(use(os.getpid()))
        self.uses["server"].append(use(forkserver._forkserver._forkserver_pid))  # pyright: ignore


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """Places for two jobs on each of two GPUs that are not there."""
    monkeypatch.setattr(launch, "visible_gpus", lambda: ["0", "1"])
    cfg = OmegaConf.create({"trainer": {"accelerator": "gpu", "devices": 1}})
    yield launch.slots(cfg, jobs=None, jobs_per_device=2)
    forkserver._forkserver._stop()  # pyright: ignore


def busiest(records: list[dict], gpu: str) -> int:
    """Most jobs that one GPU had at a time."""
    spans = [(record["began"], record["ended"]) for record in records if record["gpu"] == gpu]
    return max(sum(began <= moment < ended for began, ended in spans) for moment, _ in spans)


def test_hundreds_of_jobs_that_train_nothing(
    tmp_path: Path, two_gpus: list[dict[str, str]], injected: Injected
) -> None:
    tickets = [JobSpec("", tmp_path / "arm" / f"seed-{number}") for number in range(FAKE)]
    meter = Meter(len(tickets))
    run_all(tickets, two_gpus, meter, fake.job)
    assert (meter.finished, meter.failed) == (FAKE, 0)
    for uses in meter.uses.values():
        assert len(uses) == FAKE
        assert_flat(uses)
    records = [read_json(ticket.folder / "run.json") for ticket in tickets]
    assert min(Counter(record["gpu"] for record in records).values()) > FAKE // 4
    assert {gpu: busiest(records, gpu) for gpu in "01"} == {"0": 2, "1": 2}
    injected(
        "one of 500 short jobs in one sweep",
        FAKE,
        "memory, files and threads stay flat; never more jobs on a GPU than jobs_per_device",
    )


@pytest.mark.timeout(900)
def test_hundreds_of_small_trainings(tmp_path: Path, injected: Injected) -> None:
    words = (*WORDS, "-m", f"seeds={REAL}", "trainer.max_epochs=1", "test=false")
    uses: dict[str, list[Use]] = {"launcher": [], "server": []}
    with Command(make_lab(tmp_path), *words) as command:
        while command.process.poll() is None:
            if command.said.count("\n[") > len(uses["launcher"]):
                with suppress(OSError, ValueError):  # it has just ended
                    uses["server"].append(use(command.server()))
                    uses["launcher"].append(use(command.process.pid))
            time.sleep(0.1)
        assert command.process.returncode == 0, command.said
        assert not command.left()
    for found in uses.values():
        assert len(found) > REAL // 2
        assert_flat(found)
    records = nothing_lost(tmp_path / "logs" / "sweeps" / "train", planned=REAL)
    assert {record["status"] for record in records.values()} == {"finished"}
    injected("one of 200 real trainings in one sweep", REAL, "memory, files and threads stay flat")
