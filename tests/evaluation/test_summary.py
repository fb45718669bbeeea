"""The table of several runs: a line each, a mean of each arm, a reason where there is no figure."""

from pathlib import Path

import pytest

from mixlab.evaluation.summary import Outcome, print_table, rounded, spread
from mixlab.runs.records import StoredRun


def outcome(arm: str, seed: int, accuracy: float | None, **more: float) -> Outcome:
    run = StoredRun(Path(f"runs/{arm}/seed-{seed}"), "finished", arm, arm, seed)
    if accuracy is None:
        return Outcome(run, problem="no\x1b[31m checkpoint")
    last = {"test/accuracy": 0.1, "test/class_accuracy": {"a": 1.0}}
    return Outcome(run, {"best": {**last, "test/accuracy": accuracy, **more}, "last": last})


def test_runs_by_arm_with_their_means_and_problems_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, other = outcome("b", 10, 0.9, **{"tta/gained": 3}), outcome("b", 9, 0.8)
    print_table([one, outcome("a", 0, 0.5), outcome("a", 1, None), other])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:-1]] == [
        ["arm", "seed", "at", "test/accuracy", "voting/gained"],
        ["a", "0", "best", "0.5000", "-"],
        ["b", "9", "best", "0.8000", "-"],
        ["10", "best", "0.9000", "3"],
        ["mean", "0.8500", "±", "0.0707", "3"],
    ]
    assert lines[-1] == "! runs/a/seed-1: no [31m checkpoint"


def test_without_any_figure_there_is_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([outcome("a", 1, None)])
    assert capsys.readouterr().out.startswith("! runs/a/seed-1")


def test_counts_are_whole_and_their_mean_is_not() -> None:
    assert (rounded(3), rounded(0.5), rounded(None)) == ("3", "0.5000", "-")
    assert spread([3, 4]) == "3.5 ± 0.7" and spread([3.0, 4.0]) == "3.5000 ± 0.7071"
    assert spread([None, 0.25]) == "0.2500" and spread([None]) == "-"
