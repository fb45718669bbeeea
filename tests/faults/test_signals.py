"""Signals to a single run and to a sweep."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.conftest import Injected
from helpers.commands import WORDS, Command, make_lab, state, until
from helpers.nothing_lost import epochs_begun, nothing_lost, repeated, unequal
from mixlab.runs.atomic import read_json

EPOCHS = 12
ONE = (*WORDS, f"trainer.max_epochs={EPOCHS}")
FOR_EVER = (*WORDS, "-m", "seeds=2", "hydra.launcher.jobs=2", "trainer.max_epochs=100000")
pytestmark = pytest.mark.timeout(600)


def only(folder: Path) -> Path:
    """The one run there."""
    (found,) = {path.parent for path in folder.rglob("epochs-0.txt")}
    return found


def trains(folder: Path, epoch: int, runs: int = 1) -> Callable[[], bool]:
    """Whether so many runs have begun an epoch."""

    def holds() -> bool:
        files = list(folder.rglob("epochs-0.txt"))
        return len(files) == runs and all(len(f.read_text().split()) > epoch for f in files)

    return holds


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    folder = make_lab(tmp_path_factory.mktemp("whole"))
    with Command(folder, *ONE) as command:
        assert command.wait() == 0, command.said
    return only(folder)


@pytest.mark.parametrize(
    ("signum", "status", "recorded"),
    [
        (signal.SIGTERM, 143, "interrupted"),
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGABRT, -signal.SIGABRT, "running"),
        (signal.SIGKILL, -signal.SIGKILL, "running"),
    ],
)
def test_a_signal_to_a_run(
    tmp_path: Path, whole: Path, injected: Injected, signum: int, status: int, recorded: str
) -> None:
    with Command(make_lab(tmp_path), *ONE) as command:
        assert until(trains(tmp_path, epoch=2)), command.said
        command.process.send_signal(signum)
        assert command.wait() == status, command.said
        assert not command.left()
    run = only(tmp_path)
    assert read_json(run / "run.json")["status"] == recorded
    assert (run / "checkpoints" / "last.ckpt").is_file()
    asked = recorded == "interrupted"
    with Command(tmp_path, *ONE) as command:
        assert command.wait() == 0, command.said
    assert unequal(whole, run) == []
    assert repeated(run) == (0 if asked else 1), epochs_begun(run)
    injected(
        f"{signal.Signals(signum).name} to a training",
        1,
        f"status {status if status > 0 else 128 - status}; the same command goes on "
        + ("at the next batch" if asked else "at the epoch's start")
        + " and ends bit-identical",
    )


def test_a_run_that_is_stopped_and_continued(
    tmp_path: Path, whole: Path, injected: Injected
) -> None:
    with Command(make_lab(tmp_path), *ONE) as command:
        assert until(trains(tmp_path, epoch=2)), command.said
        command.process.send_signal(signal.SIGSTOP)
        assert until(lambda: state(command.process.pid) == "T")
        begun = epochs_begun(only(tmp_path))
        time.sleep(2)
        assert epochs_begun(only(tmp_path)) == begun
        command.process.send_signal(signal.SIGCONT)
        assert command.wait() == 0, command.said
    assert unequal(whole, only(tmp_path)) == [] and repeated(only(tmp_path)) == 0
    injected("SIGSTOP, 2 s, SIGCONT to a training", 1, "it ends as if it had never stopped")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_processes_of_a_sweep(
    tmp_path: Path, injected: Injected, signum: int
) -> None:
    """As a closed terminal, `timeout` and `kill %1` send it: the fork server gets it, too."""
    with Command(make_lab(tmp_path), *FOR_EVER) as command:
        assert until(trains(tmp_path, epoch=1, runs=2)), command.said
        os.killpg(command.process.pid, signum)
        assert command.wait(50) == 130, command.said
        assert not command.left()
    records = nothing_lost(tmp_path / "logs" / "sweeps" / "train", planned=2)
    assert {record["status"] for record in records.values()} == {"interrupted"}
    assert {record["error"] for record in records.values()} == {
        "stopped by SIGTERM; the same command resumes it"
    }
    assert all((run / "checkpoints" / "last.ckpt").is_file() for run in records)
    injected(
        f"{signal.Signals(signum).name} to a sweep's process group",
        1,
        "status 130; every job ends with a checkpoint, recorded as interrupted; no orphan",
    )


def test_nobody_reads_what_a_sweep_says(tmp_path: Path, injected: Injected) -> None:
    make_lab(tmp_path)
    program = Path(sys.executable).with_name("mixlab-train")
    words = shlex.join([str(program), *WORDS, "-m", "seeds=3"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {words} | head -n 1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.startswith("3 runs"), done.stderr
    assert done.stderr == ""
    records = nothing_lost(tmp_path / "logs" / "sweeps" / "train", planned=3)
    assert {record["status"] for record in records.values()} == {"finished"}
    injected("standard output of a sweep closed", 1, "every run is finished; status 0")


@pytest.mark.parametrize(
    ("signum", "times"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGINT, 2)]
)
def test_a_signal_to_a_sweep(tmp_path: Path, injected: Injected, signum: int, times: int) -> None:
    with Command(make_lab(tmp_path), *FOR_EVER) as command:
        assert until(trains(tmp_path, epoch=1, runs=2)), command.said
        jobs = command.jobs()
        assert len(jobs) == 2
        if times == 2:  # a job that cannot hear the first
            os.kill(jobs[0], signal.SIGSTOP)
        command.process.send_signal(signum)
        assert until(lambda: "stopping: each job saves a checkpoint" in command.said)
        if times == 2:
            time.sleep(1)
            command.process.send_signal(signum)
        assert command.wait(50) == 130, command.said
        assert not command.left()
        said = command.said
    records = nothing_lost(tmp_path / "logs" / "sweeps" / "train", planned=2)
    assert {record["status"] for record in records.values()} == {"interrupted"}
    errors = [record["error"] for record in records.values()]
    killed = sum("killed by SIGKILL" in error for error in errors)
    assert killed == (times == 2) and ("ending at once" in said) == (times == 2)
    assert all((run / "checkpoints" / "last.ckpt").is_file() for run in records)
    word = "once" if times == 1 else "twice"
    injected(
        f"{signal.Signals(signum).name} {word} to a sweep",
        1,
        f"status 130; every job ends {'with a checkpoint' if times == 1 else 'at once'}, recorded "
        "as interrupted; no orphan",
    )
