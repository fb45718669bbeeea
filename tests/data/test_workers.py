"""Loader workers and the signals of a scheduler."""

import multiprocessing
import multiprocessing.synchronize
import os
import signal
import sys
import time

import pytest

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
