"""What is written of a run whose process could not write it itself."""

import os
import signal
from pathlib import Path

import pytest

from helpers.small_runs import small
from mixlab.runs import Run
from mixlab.runs.atomic import read_json, write_json
from mixlab.sweeps.exit_status import exit_reason, record_exit


@pytest.mark.parametrize("status", [None, "planned", "running"])
def test_a_hard_death_is_written_down(tmp_path: Path, status: str | None) -> None:
    write_json(tmp_path / "run.json", {"status": status, "seed": 3} if status else {})
    record_exit(tmp_path, -signal.SIGKILL)
    record = read_json(tmp_path / "run.json")
    assert record["status"] == "failed" and "SIGKILL (out of memory?)" in record["error"]
    assert record.get("seed") == (3 if status else None) and record["ended"]


def test_the_time_of_a_killed_training_counts(tmp_path: Path) -> None:
    with Run.open(small(tmp_path)) as run:
        run.begin()
    began = (run.folder / "config.yaml").stat().st_mtime
    os.utime(run.folder / ".lock", (began + 20, began + 20))
    assert record_exit(run.folder, -signal.SIGKILL)["seconds"] == pytest.approx(20, abs=0.01)


@pytest.mark.parametrize(
    ("signum", "stopped"), [(signal.SIGKILL, True), (signal.SIGTERM, False), (signal.SIGTERM, True)]
)
def test_a_death_that_was_asked_for_is_no_failure(
    tmp_path: Path, signum: int, stopped: bool
) -> None:
    write_json(tmp_path / "run.json", {"status": "running"})
    found = record_exit(tmp_path, -signum, stopped)
    assert found == read_json(tmp_path / "run.json") and found["status"] == "interrupted"
    assert "memory" not in found["error"]


@pytest.mark.parametrize("status", ["finished", "failed", "diverged", "interrupted"])
def test_what_a_job_said_itself_stands(tmp_path: Path, status: str) -> None:
    write_json(tmp_path / "run.json", {"status": status, "error": "mine"})
    assert record_exit(tmp_path, 1) == {"status": status, "error": "mine"}


def test_a_run_in_another_process_is_left_to_it(tmp_path: Path) -> None:
    with Run.open(small(tmp_path)) as run:
        run.begin()
        found = record_exit(run.folder, exit_code=2)
        assert found["status"] == "running" and found["error"] == "by another process"
        assert read_json(run.folder / "run.json")["status"] == "running"


def test_reasons() -> None:
    assert exit_reason(3) == "the process ended with status 3; see log.txt"
    assert exit_reason(-signal.SIGSEGV) == "the process was killed by SIGSEGV"
