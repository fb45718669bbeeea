"""Who has a run folder in hand."""

import fcntl
import os
import threading
import time
from pathlib import Path

import pytest
from omegaconf import DictConfig

from helpers.small_runs import small
from mixlab.runs import Run, run_folder
from mixlab.runs.locks import is_running, taken


@pytest.fixture
def cfg(tmp_path: Path) -> DictConfig:
    return small(tmp_path)


def test_one_process_at_a_time(cfg: DictConfig) -> None:
    assert not is_running(run_folder(cfg))
    with Run.open(cfg) as run:
        assert is_running(run.folder)
        with pytest.raises(ValueError, match="is being trained by another process; wait for it"):
            Run.open(cfg)
    assert not is_running(run.folder)
    with Run.open(cfg):
        pass


def test_a_death_lets_go_of_the_lock(cfg: DictConfig) -> None:
    child = os.fork()
    if child == 0:
        Run.open(cfg)
        os._exit(9)
    os.waitpid(child, 0)
    assert not is_running(run_folder(cfg))


def test_a_child_does_not_keep_the_lock(cfg: DictConfig) -> None:
    """Such as a loader's worker that outlives the training."""
    reader, writer = os.pipe()
    with Run.open(cfg) as run:
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
    end = time.monotonic() + 5
    while is_running(run.folder) and time.monotonic() < end:  # the child may not have begun yet
        time.sleep(0.01)
    assert not is_running(run.folder)
    os.close(writer)
    os.waitpid(child, 0)
    os.close(reader)


def test_who_looks_does_not_keep_a_run_from_starting(cfg: DictConfig) -> None:
    with Run.open(cfg) as run:
        pass
    looking = open(run.folder / ".lock", "rb")
    fcntl.flock(looking, fcntl.LOCK_SH)
    assert not is_running(run.folder), "another look is no training"
    timer = threading.Timer(0.1, looking.close)
    timer.start()
    with Run.open(cfg):
        timer.join()
        assert is_running(run.folder)


def test_the_lock_of_a_folder_that_was_moved_away_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and locking it another process archives the folder."""
    folder = tmp_path / "seed-0"
    real, moved = fcntl.flock, folder.with_name("seed-0.1")

    def flock(descriptor: int, operation: int) -> None:
        if not moved.exists():
            folder.rename(moved)
            folder.mkdir()
            (folder / ".lock").touch()
        real(descriptor, operation)

    monkeypatch.setattr("mixlab.runs.locks.fcntl.flock", flock)
    descriptor = taken(folder)
    assert is_running(folder) and not is_running(moved)
    os.close(descriptor)
    assert not is_running(folder)
