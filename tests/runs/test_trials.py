"""The files through which a trial and its search talk."""

from pathlib import Path

from mixlab.runs.trials import (
    REPORTS,
    TRIAL_SEEDS,
    ask_to_stop,
    forget_stop,
    report_epoch,
    reports,
    stop_reason,
)


def test_reports_are_read_as_written_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    assert reports(tmp_path) == {}
    for epoch, value in ((0, 0.25), (1, 0.5), (1, 0.625), (2, float("nan"))):
        report_epoch(tmp_path, epoch, value)
    with open(tmp_path / REPORTS, "a") as file:
        file.write('{"epoch": 3, "val')  # the process was killed here
    assert reports(tmp_path) == {0: 0.25, 1: 0.625}, "a resumed epoch counts once"


def test_a_search_asks_a_run_to_stop(tmp_path: Path) -> None:
    assert stop_reason(tmp_path) is None
    ask_to_stop(tmp_path, "hopeless")
    assert stop_reason(tmp_path) == "hopeless"
    forget_stop(tmp_path)
    forget_stop(tmp_path)
    assert stop_reason(tmp_path) is None


def test_seeds_of_trials_are_far_from_those_of_sweeps() -> None:
    assert TRIAL_SEEDS == 1_000_000, "docs/searching.md says so, and other commands rely on it"
