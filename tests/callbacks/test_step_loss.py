"""The loss of single steps, as it was."""

import csv
from pathlib import Path

import pytest

from helpers.small_runs import small
from mixlab.runs import run_folder
from mixlab.training.supervise import train


@pytest.mark.parametrize(("every", "accumulate"), [(1, 1), (3, 1), (1, 2)])
def test_each_nth_step_has_one_loss(tmp_path: Path, every: int, accumulate: int) -> None:
    words = (f"trainer.log_every_n_steps={every}", f"trainer.accumulate_grad_batches={accumulate}")
    cfg = small(tmp_path, *words)
    train(cfg)
    with open(run_folder(cfg) / "metrics.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss_step"]]
    batches = 8 // accumulate
    assert [int(row["step"]) for row in rows] == list(range(0, batches, every))
    assert all(0 < float(row["train/loss_step"]) < 3 for row in rows)
