"""What is said of the jobs, on a terminal and elsewhere."""

import os
import pty
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from helpers.small_runs import small
from mixlab.runs import Run
from mixlab.runs.atomic import read_json, write_json
from mixlab.sweeps import progress as module
from mixlab.sweeps.progress import Progress, exit_reason, record_exit, run_outcome
from mixlab.sweeps.worker import JobSpec

RESULTS = {"best": {"test/accuracy": 0.5}, "last": {"test/accuracy": 0.25}}
RECORDS = {
    "seed-0": {"status": "finished", "results": RESULTS, "seconds": 12.34},
    "seed-1": {"status": "failed", "error": "a\ndefect"},
}


@pytest.fixture
def tickets(tmp_path: Path) -> list[JobSpec]:
    """Of two runs that have ended."""
    for name, record in RECORDS.items():
        (tmp_path / "arm" / name).mkdir(parents=True)
        write_json(tmp_path / "arm" / name / "run.json", record)
    return [JobSpec("", tmp_path / "arm" / name) for name in RECORDS]


def test_a_line_for_each_job(tickets: list[JobSpec], capsys: pytest.CaptureFixture) -> None:
    board = Progress(total=2)
    with board.shown():
        for ticket in tickets:
            board.begun(ticket)
            board.done(ticket, 0)
    one, two = capsys.readouterr().out.splitlines()
    assert one == (
        "[1/2] arm/seed-0: test accuracy 0.5000 (chosen on validation), 0.2500 (last), 12.3 s"
    )
    assert two == "[2/2] arm/seed-1: failed: a defect"
    assert (board.finished, board.failed) == (1, 1)


@pytest.mark.parametrize(
    ("monitor", "figure"),
    [
        ("val/mean_average_precision", "val mean_average_precision 0.7000 (chosen on validation)"),
        ("val/accuracy", "val accuracy 0.6000 (chosen on validation)"),
        ("val/loss", "val accuracy 0.6000 (chosen on validation)"),
    ],
)
def test_the_figure_is_the_one_that_chose(monitor: str, figure: str) -> None:
    best = {"val/accuracy": 0.6, "val/loss": 0.1, "val/mean_average_precision": 0.7}
    record = {"status": "finished", "results": {"best": best}, "monitor": {"metric": monitor}}
    assert run_outcome(record).startswith(figure)


def test_a_record_that_is_not_there() -> None:
    assert run_outcome({}).startswith("failed: ")


def test_a_record_that_cannot_be_written_ends_no_other_job(
    tickets: list[JobSpec], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "record_exit", full)
    Progress(total=2).done(tickets[0], -9)
    assert "seed-0: failed: no record could be written: " in capsys.readouterr().out


def shown(board: Progress) -> str:
    """The table, as text."""
    console = Console(width=100)
    with console.capture() as captured:
        console.print(board.table())
    return captured.get()


def test_the_table(tickets: list[JobSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    board = Progress(total=4)
    for ticket in tickets:
        board.begun(ticket)
    clock[0] += 65
    first = shown(board).splitlines()
    assert [line.split() for line in first] == [
        [*"0 of 4 runs done eta -:--:--".split()],
        ["arm/seed-0", "0:01:05"],
        ["arm/seed-1", "0:01:05"],
    ]
    board.done(tickets[1], 0)
    clock[0] += 5
    header, only = shown(board).splitlines()
    assert header.split() == "0 of 4 runs done, 1 failed eta 0:03:30".split()
    assert only.split() == ["arm/seed-0", "0:01:10"]


def test_on_a_terminal(tickets: list[JobSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines stay above the table, which is gone in the end; no line is broken by it."""
    reader, writer = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        board = Progress(total=3)
        with board.shown():
            for ticket in tickets:
                board.begun(ticket)
            board._live.refresh()
            board.done(tickets[0], 0)
        board.say("after")
        monkeypatch.undo()
        seen = ""
        while not seen.endswith("after\r\n"):  # the kernel gives a terminal's lines piece by piece
            seen += os.read(reader, 100_000).decode()
    os.close(reader)
    assert "0 of 3 runs done" in seen and "  arm/seed-1" in seen and "eta" in seen
    assert "1 of 3 runs done" in seen
    assert "[1/3] arm/seed-0: test accuracy 0.5000" in seen and ", 12.3 s\r\n" in seen
    assert "\x1b[2K" in seen, "the table was erased"


def test_a_reader_that_has_gone_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError

    write_json(tmp_path / "run.json", {"status": "failed", "error": "no memory"})
    board = Progress(1)
    silent: list[bool] = []
    monkeypatch.setattr("builtins.print", broken)
    monkeypatch.setattr(module.os, "dup2", lambda *_: silent.append(True))
    board.done(JobSpec("", tmp_path), 1)
    assert board.failed == 1 and silent


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
