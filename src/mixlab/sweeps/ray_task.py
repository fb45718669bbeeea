"""What a Ray worker does for a job: start a process for the run, and wait for its end."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from mixlab.runs.locks import is_running
from mixlab.sweeps.pool import GRACE
from mixlab.sweeps.worker import JobSpec

NOTICE_SECONDS = 20.0  # seconds that the process of a worker that was killed may take to notice


def train_remotely(spec: JobSpec, folder: str, path: str | None) -> int:
    """Train one run in a process of its own; returns its exit code, as `subprocess` has it.

    Args:
        folder: the working directory of the command.
        path: its PYTHONPATH, which has the user's own packages.
    """
    await_end(spec)
    words = [sys.executable, "-m", "mixlab.sweeps.job_process"]
    environment = {**os.environ, **({"PYTHONPATH": path} if path else {})}
    with subprocess.Popen(words, stdin=subprocess.PIPE, cwd=folder, env=environment) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(as_json(spec))
            process.stdin.close()
            return waited_for(process)
        except KeyboardInterrupt:  # Ray cancels a task so
            process.terminate()
            process.wait(GRACE)
            raise
        finally:
            kill_session(process.pid)


def waited_for(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a process. Ray's KeyboardInterrupt comes between two looks at it."""
    while (code := process.poll()) is None:
        time.sleep(0.2)
    return code


def await_end(spec: JobSpec) -> None:
    """Wait for the process of an earlier try, whose worker was killed, to be gone."""
    deadline = time.monotonic() + NOTICE_SECONDS
    while is_running(spec.folder) and time.monotonic() < deadline:
        time.sleep(0.1)


def kill_session(pid: int) -> None:
    """Kill what a job has left behind: loader workers, other ranks."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def as_json(spec: JobSpec) -> bytes:
    """A job as its process reads it."""
    node = {"config": spec.config, "folder": str(spec.folder), "own": dict(spec.own)}
    return json.dumps({**node, "environment": dict(spec.environment)}).encode()
