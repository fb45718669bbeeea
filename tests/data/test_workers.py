"""Loader workers and the signals of a scheduler."""

import multiprocessing
import multiprocessing.synchronize
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from helpers.image_folders import write_folder
from helpers.small_runs import console
from mixlab.data.workers import survive_first_sigterm


def wait_for_ever(ready: multiprocessing.synchronize.Event) -> None:
    survive_first_sigterm(0)
    ready.set()
    while True:
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_a_worker_outlives_the_sigterm_of_its_job() -> None:
    """The second ends it, so that nothing hangs."""
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    worker = context.Process(target=wait_for_ever, args=(ready,))
    worker.start()
    assert ready.wait(10)
    os.kill(worker.pid or 0, signal.SIGTERM)
    worker.join(0.3)
    assert worker.is_alive()
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == -signal.SIGTERM


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_program_ends_that_has_read_only_some_batches(here: Path) -> None:
    """Python asks its children to end once, and waits for them."""
    write_folder(here / "data")
    done = console(
        "preview", "data=folder", "data.path=data", "data.num_workers=2", "data.batch_size=4",
        "mixing=mixup", "output=seen.png",
    )  # fmt: skip
    assert done.returncode == 0 and (here / "seen.png").exists(), done.stderr
