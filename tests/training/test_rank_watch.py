"""What each rank's thread writes and reads, and what it does about a rank that hangs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mixlab.callbacks.rank_marks import Mark, RankMarks
from mixlab.runs.atomic import read_json, write_json
from mixlab.training import rank_watch
from mixlab.training.rank_watch import DUMP, RankWatch, born, is_here, main_thread, this_process
from mixlab.training.verdict import Beat

LIMIT = 10.0
BEHIND, AHEAD = Mark((1, 0, 3, 0), "batch 3 (a)"), Mark((1, 0, 3, 2), "batch 3 (b)")


class Ended(BaseException):
    """In place of the end of the process."""


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RankWatch]]:
    """Makes the threads of ranks, which are not started."""

    def end(status: int) -> None:
        raise Ended(status)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(rank_watch, "ENDING", 0.1)
    monkeypatch.setattr(rank_watch, "GRACE_OF_RANK", 0.1)
    write_json(tmp_path / "run.json", {"status": "running"})

    watches: list[RankWatch] = []

    def made(rank: int, mark: Mark, limit: float | None = LIMIT) -> RankWatch:
        marks = RankMarks()
        marks.mark = mark
        watches.append(RankWatch(tmp_path, rank, limit, marks, lambda: None))
        return watches[-1]

    yield made
    for each in watches:
        each.stop()


def test_the_one_behind_hangs(tmp_path: Path, watch: Callable[..., RankWatch]) -> None:
    zero, one = watch(0, AHEAD), watch(1, BEHIND)
    for second in range(10):
        for each in (zero, one):
            each.step(second)
    file = tmp_path / ".ranks" / "verdict.json"
    one.step(10)  # who judges the same, and leaves it to the lowest
    assert not file.exists()
    zero.step(10)
    facts = read_json(file)
    assert (facts["guilty"], facts["recorder"], facts["silent"]) == ([1], 0, False)
    with pytest.raises(Ended) as end:
        one.step(11)
    assert end.value.args == (1,) and read_json(tmp_path / "run.json")["status"] == "running"
    with pytest.raises(Ended) as end:
        zero.step(11)
    record, text = read_json(tmp_path / "run.json"), (tmp_path / "error.txt").read_text()
    assert end.value.args == (1,) and record["status"] == "failed"
    assert record["error"].startswith("rank 1 has not gone on for 10 s while the others waited")
    assert text.index("rank 1, at batch 3 (a)") < text.index("rank 0, at batch 3 (b)")
    assert "test_the_one_behind_hangs" in text.partition("rank 0, at")[0]


@pytest.mark.parametrize("written", ["", '{"number": 3, "ord'])
def test_who_is_stopped_while_it_beats_is_silent(
    tmp_path: Path, watch: Callable[..., RankWatch], written: str
) -> None:
    zero, one = watch(0, BEHIND), watch(1, AHEAD)
    assert set(zero.beats()) == {0, 1}, "each beats before it trains"
    one.beat_file(1).write_text(written)
    for second in range(10):
        zero.step(second)
    assert not (tmp_path / ".ranks" / "verdict.json").exists(), "not rank 0, which waits for it"
    zero.step(10)
    verdict = read_json(tmp_path / ".ranks" / "verdict.json")
    assert (verdict["guilty"], verdict["silent"]) == ([1], True)


def test_a_stopped_process_is_woken_and_killed(
    tmp_path: Path, watch: Callable[..., RankWatch], capsys: pytest.CaptureFixture[str]
) -> None:
    deaf = (
        f"import signal, time; signal.signal({int(DUMP)}, signal.SIG_IGN); print(1, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", deaf + "time.sleep(60)"], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.read(1)
        zero = watch(0, AHEAD)
        beat = Beat(
            1, **vars(BEHIND), host=this_process()["host"], pid=other.pid, born=born(other.pid)
        )
        for number in (1, 2):
            facts = {**vars(beat), "number": number}
            (tmp_path / ".ranks" / "1.beat").write_text(json.dumps(facts))
            zero.step(number)
        other.send_signal(signal.SIGSTOP)
        with pytest.raises(Ended):
            for second in range(3, 30):
                zero.step(second)
        assert second == 13 and other.wait(5) == -signal.SIGKILL
    sentence = "rank 1 has not answered for 10 s: it stood at batch 3 (a); see error.txt"
    assert capsys.readouterr().err.strip() == f"mixlab-train: {sentence}"
    assert read_json(tmp_path / "run.json")["error"] == sentence
    assert "no stack: the process was stopped" in (tmp_path / "error.txt").read_text()


def test_an_old_verdict_is_about_other_processes(
    tmp_path: Path, watch: Callable[..., RankWatch]
) -> None:
    zero = watch(0, AHEAD)
    facts: dict[str, Any] = {"guilty": [1], "silent": True, "where": "", "recorder": 0}
    facts["processes"] = [["host", os.getpid(), "12"]]
    (tmp_path / ".ranks" / "verdict.json").write_text(json.dumps(facts))
    assert zero.pronounced() is None
    facts["processes"].append(list(this_process().values()))
    (tmp_path / ".ranks" / "verdict.json").write_text(json.dumps(facts))
    assert zero.pronounced() is not None


def test_without_a_limit_nobody_is_judged(tmp_path: Path, watch: Callable[..., RankWatch]) -> None:
    zero, one = watch(0, AHEAD, None), watch(1, BEHIND, None)
    for second in range(0, 10_000, 100):
        zero.step(second)
        one.step(second)
    assert not (tmp_path / ".ranks" / "verdict.json").exists()


def test_rank_0_takes_the_error_of_another_over(
    tmp_path: Path, watch: Callable[..., RankWatch], capsys: pytest.CaptureFixture[str]
) -> None:
    zero = watch(0, AHEAD)
    first = {"rank": 1, "error": "rank 1: ValueError: x", "place": "mylab.py, line 3"}
    first |= {"user_error": False, "traceback": "Traceback: of rank 1"}
    (tmp_path / ".ranks" / "error.json").write_text(json.dumps(first))
    with pytest.raises(Ended) as end:
        zero.step(0)
    assert end.value.args == (1,)
    assert read_json(tmp_path / "run.json")["error"] == "rank 1: ValueError: x"
    assert (tmp_path / "error.txt").read_text() == "Traceback: of rank 1"
    assert capsys.readouterr().err.endswith("mylab.py, line 3: rank 1: ValueError: x\n")


def test_who_has_left_is_not_ended(tmp_path: Path, watch: Callable[..., RankWatch]) -> None:
    zero = watch(0, AHEAD)
    (tmp_path / ".ranks" / "error.json").write_text(json.dumps({"rank": 1}))
    zero.stop()
    zero.take_over({"rank": 1, "traceback": "", "user_error": False, "error": ""})
    assert read_json(tmp_path / "run.json")["status"] == "running"


def test_a_process_is_told_from_another_of_its_number() -> None:
    own = this_process()
    assert is_here(Beat(1, **own))
    assert not is_here(Beat(1, **{**own, "born": "1"})) and not is_here(
        Beat(1, **{**own, "host": "x"})
    )
    assert born(2**22 + 1) == "" and not is_here(Beat(1))


def test_the_main_thread_comes_last() -> None:
    own = "the process itself\nCurrent thread 1:\n  watch\n\nThread 2:\n  main\n\n"
    stacks = f"{own}a loader worker\n  x"
    assert main_thread(stacks) == "Thread 2:\n  main"
