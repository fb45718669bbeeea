"""What a job does in its own process, and how it exits."""

import faulthandler
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from mixlab.callbacks import Diverged, Interrupted
from mixlab.errors import UserError
from mixlab.sweeps.worker import HELD_BACK, JobSpec, run_job
from mixlab.training import supervise


def exit_code(spec: JobSpec, train: Callable[[Any], object]) -> int:
    """Of a child that runs a job as if it came from the fork server."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # as without pytest
            signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
            supervise.train = train  # type: ignore[assignment]
            run_job(spec)
            code = 0
        except SystemExit as end:
            code = end.code
        finally:
            sys.stderr.flush()
            os._exit(code)  # type: ignore[arg-type]
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def raiser(error: BaseException) -> Callable[[Any], None]:
    def train(cfg: Any) -> None:
        raise error

    return train


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ZeroDivisionError("a defect"), 1),
        (UserError("a mistake"), 2),
        (Diverged("the loss became nan"), 3),
        (Interrupted(signal.SIGTERM), 143),
    ],
)
def test_a_job_that_failed_exits_with_the_kind_of_failure(
    tmp_path: Path, error: BaseException, code: int
) -> None:
    assert exit_code(JobSpec("seed: 0", tmp_path / "seed-0"), raiser(error)) == code
    assert str(error) in (tmp_path / "seed-0" / "log.txt").read_text()


def describe(cfg: Any) -> None:
    """Print, to the log, what the job finds."""
    facts = {
        "cfg": OmegaConf.to_container(cfg),
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "leads": os.getsid(0) == os.getpid(),
        "ignores": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "watches": "end-with-parent" in [thread.name for thread in threading.enumerate()],
        "tells": faulthandler.is_enabled(),
    }
    os.write(1, json.dumps(facts).encode())


def test_a_job_in_its_process(tmp_path: Path) -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "5"}
    spec = JobSpec("seed: 0\nlr: 1", tmp_path / "seed-3", {"seed": 3}, environment)
    assert exit_code(spec, describe) == 0
    assert json.loads((spec.folder / "log.txt").read_text()) == {
        "cfg": {"seed": 3, "lr": 1}, "gpu": "5", "leads": True, "ignores": True, "blocked": 0,
        "watches": True, "tells": True,
    }  # fmt: skip


def test_the_log_of_an_earlier_attempt_stays(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("before\n")
    exit_code(JobSpec("seed: 0", tmp_path), raiser(UserError("after")))
    assert (tmp_path / "log.txt").read_text().startswith("before\n")
