"""metrics.csv: one row for each time something was logged, through resumes too."""

import csv
from pathlib import Path

import pytest
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from mixlab.loggers import MetricsFile


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def logged(folder: Path, steps: int) -> MetricsFile:
    logger = MetricsFile(str(folder))
    for step in range(steps):
        logger.log_metrics({"epoch": step // 2, "loss": 1 / (step + 1)}, step)
    return logger


def test_epoch_and_step_come_first(tmp_path: Path) -> None:
    logged(tmp_path, 3)
    header, *_ = (tmp_path / "metrics.csv").read_text().splitlines()
    assert header == "epoch,step,loss"
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1", "2"]


def test_a_new_column_keeps_the_rows_before(tmp_path: Path) -> None:
    logger = logged(tmp_path, 2)
    logger.log_metrics({"accuracy": 0.5}, 2)
    logger.log_metrics({"loss": 0.25}, 3)
    assert [row["accuracy"] for row in rows(tmp_path)] == ["", "", "0.5", ""]
    assert [row["loss"] for row in rows(tmp_path)] == ["1.0", "0.5", "", "0.25"]


def test_numbers_come_back_exactly(tmp_path: Path) -> None:
    value = 0.1 + 0.2
    MetricsFile(str(tmp_path)).log_metrics({"loss": value}, 0)
    assert float(rows(tmp_path)[0]["loss"]) == value


def test_resuming_drops_what_will_come_again(tmp_path: Path) -> None:
    logged(tmp_path, 5)
    again = MetricsFile(str(tmp_path))
    again.resume(step=3)
    for step in (3, 4):
        again.log_metrics({"epoch": step // 2, "loss": 1 / (step + 1), "new": 1.0}, step)
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1", "2", "3", "4"]
    assert [row["new"] for row in rows(tmp_path)] == ["", "", "", "1.0", "1.0"]


def test_resuming_survives_a_row_cut_short(tmp_path: Path) -> None:
    logged(tmp_path, 2)
    with open(tmp_path / "metrics.csv", "a") as file:
        file.write("0,")  # as a process leaves it that dies while it writes
    MetricsFile(str(tmp_path)).resume(step=9)
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1"]


@pytest.mark.parametrize("written", [False, True])
def test_a_pending_row_is_there_once(tmp_path: Path, written: bool) -> None:
    """The checkpoint after 3 steps was written; the process died before, or after, the row was."""
    logger, pending = logged(tmp_path, 3), {"epoch": 1, "val/accuracy": 0.5}
    if written:
        logger.log_metrics(pending, 2)
    MetricsFile(str(tmp_path)).resume(step=3, pending=pending)
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1", "2", "2"]
    assert [row["val/accuracy"] for row in rows(tmp_path)] == ["", "", "", "0.5"]


def test_resuming_without_a_file_is_a_start(tmp_path: Path) -> None:
    logger = MetricsFile(str(tmp_path))
    logger.resume(step=7)
    logger.log_metrics({"loss": 1.0}, 7)
    assert len(rows(tmp_path)) == 1


def test_a_training_from_the_start_forgets_an_earlier_attempt(tmp_path: Path) -> None:
    logged(tmp_path, 5)
    logged(tmp_path, 1)
    assert len(rows(tmp_path)) == 1


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logged(tmp_path, 2).resume(1)
    assert not (tmp_path / "metrics.csv").exists()
