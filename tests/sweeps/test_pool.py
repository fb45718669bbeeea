"""A limited number of jobs at a time, each with a slot of its own, whatever happens to them."""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers import fake_training
from mixlab.runs.atomic import read_json, write_json
from mixlab.signals import stopping
from mixlab.sweeps import pool as module
from mixlab.sweeps.pool import ProcessPool
from mixlab.sweeps.progress import Progress
from mixlab.sweeps.worker import JobSpec

TWO_GPUS = [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]


def specs(folder: Path, count: int) -> list[JobSpec]:
    found = [JobSpec("", folder / "arm" / f"seed-{seed}") for seed in range(count)]
    for spec in found:
        spec.folder.mkdir(parents=True)
    return found


def run(
    jobs: list[JobSpec], task: Callable[[JobSpec], None], slots: Any = TWO_GPUS, context: Any = None
) -> Progress:
    """Run jobs in forked processes, without a fork server that imports torch first."""
    progress = Progress(len(jobs))
    context = context or multiprocessing.get_context("fork")
    with stopping() as stop:
        pool = ProcessPool(context, task, progress, stop, deque(jobs), list(slots))
        try:
            pool.run()
        finally:
            pool.end()
    return progress


def records(jobs: list[JobSpec]) -> list[dict[str, Any]]:
    return [read_json(job.folder / "run.json") for job in jobs]


def test_each_job_has_a_gpu_to_itself(tmp_path: Path) -> None:
    jobs = specs(tmp_path, 6)
    progress = run(jobs, fake_training.job)
    found = records(jobs)
    assert progress.finished == 6 and {record["gpu"] for record in found} == {"0", "1"}
    for gpu in ("0", "1"):
        times = sorted((r["began"], r["ended"]) for r in found if r["gpu"] == gpu)
        assert all(end <= began for (_, end), (began, _) in zip(times, times[1:], strict=False))


def count_jobs(spec: JobSpec) -> None:
    """Write down how many jobs run, once there are two or have been."""
    here = spec.folder.with_name(f"running-{os.getpid()}")
    here.touch()
    (spec.folder / "begun").touch()
    while len(list(spec.folder.parent.glob("*/begun"))) < 2:
        time.sleep(0.01)
    time.sleep(0.05)
    count = len(list(spec.folder.parent.glob("running-*")))
    write_json(spec.folder / "run.json", {"status": "finished", "results": {}, "jobs": count})
    here.unlink()


def test_no_more_jobs_at_a_time_than_slots_and_no_fewer(tmp_path: Path) -> None:
    jobs = specs(tmp_path, 5)
    run(jobs, count_jobs, [{}, {}])
    assert max(record["jobs"] for record in records(jobs)) == 2


def die(spec: JobSpec) -> None:
    os._exit(7)


def test_a_job_that_dies_ends_alone(tmp_path: Path) -> None:
    jobs = specs(tmp_path, 3)
    progress = run(jobs, die)
    assert progress.failed == 3
    assert {record["error"] for record in records(jobs)} == {
        "the process ended with status 7; see log.txt"
    }


def lose_the_server_once(spec: JobSpec) -> None:
    if not (spec.folder / "lost").exists():
        (spec.folder / "lost").touch()
        os._exit(module.UNKNOWN)
    fake_training.job(spec)


def test_jobs_of_a_fork_server_that_died_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "is_alive", lambda process: True)
    jobs = specs(tmp_path, 2)
    progress = run(jobs, lose_the_server_once)
    assert (progress.finished, progress.failed) == (2, 0)
    assert capsys.readouterr().out.count("was killed: there is a new one") == 2


def test_an_unknown_exit_of_a_process_that_is_gone_is_a_failure(tmp_path: Path) -> None:
    jobs = specs(tmp_path, 1)
    assert run(jobs, lose_the_server_once).failed == 1


def test_a_fork_server_that_dies_again_and_again_ends_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = iter(range(10))

    class Dead:
        def __init__(self, **_: object) -> None: ...

        def start(self) -> None:
            next(starts)
            raise EOFError

    monkeypatch.setattr(module, "LOST", 3)
    monkeypatch.setattr(module, "DYING", 0)
    with pytest.raises(ValueError, match="killed again and again"):
        run(specs(tmp_path, 1), die, context=SimpleNamespace(Process=Dead))


def test_a_fork_server_may_take_a_while_to_die(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    dead_until = time.monotonic() + 0.3

    class Late(fork.Process):
        def start(self) -> None:
            if time.monotonic() < dead_until:
                raise ConnectionRefusedError
            super().start()

    assert run(
        specs(tmp_path, 1), fake_training.job, context=SimpleNamespace(Process=Late)
    ).finished


def test_a_fork_server_that_the_signal_killed_is_not_started_again(tmp_path: Path) -> None:
    class Killed:
        def __init__(self, **_: object) -> None: ...

        def start(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            raise EOFError

    jobs = specs(tmp_path, 2)
    progress = run(jobs, die, context=SimpleNamespace(Process=Killed))
    assert (progress.finished, progress.failed) == (0, 0)
    assert records(jobs) == [{}, {}], "each stays as it was, to be trained by the same command"


def test_whether_a_process_is_alive() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    alive = [module.is_alive(SimpleNamespace(pid=pid)) for pid in (os.getpid(), child)]  # type: ignore
    assert alive == [True, False]


def wait_for_a_signal(spec: JobSpec) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    (spec.folder / "begun").touch()
    time.sleep(100)


def ignore_signals(spec: JobSpec) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (spec.folder / "begun").touch()
    time.sleep(100)


def stop_when_begun(jobs: list[JobSpec]) -> None:
    """Send this process SIGTERM when the jobs have begun."""

    def wait() -> None:
        while not all((job.folder / "begun").exists() for job in jobs):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def test_a_signal_stops_what_runs_and_starts_nothing_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = specs(tmp_path, 3)
    stop_when_begun(jobs[:2])
    progress = run(jobs, wait_for_a_signal)
    assert [record.get("status") for record in records(jobs)] == ["interrupted"] * 2 + [None]
    said = {record.get("error") for record in records(jobs)[:2]}
    assert said == {"stopped with the sweep before it had anything to save"}
    assert progress.failed == 2 and "stopping: each job saves" in capsys.readouterr().out


def test_a_job_that_does_not_stop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.1)
    jobs = specs(tmp_path, 1)
    stop_when_begun(jobs)
    with pytest.raises(KeyboardInterrupt):
        run(jobs, ignore_signals)
    (record,) = records(jobs)
    assert record["status"] == "interrupted"
    assert record["error"] == "the process was killed by SIGKILL"
