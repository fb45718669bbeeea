"""A trial that reports to its search, and stops where that asks it to."""

from pathlib import Path

import pytest

from helpers.small_runs import FailAt, small, train_with
from mixlab.callbacks.trial_reports import Pruned
from mixlab.runs import Run, run_folder
from mixlab.runs.atomic import read_json
from mixlab.runs.status import Action
from mixlab.runs.trials import ask_to_stop, reports, stop_reason
from mixlab.training.supervise import train


class Ask(FailAt):
    """Ask for a stop at the start of an epoch, as a search would from outside."""

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if trainer.current_epoch == self.epoch:
            ask_to_stop(Path(trainer.default_root_dir), "val/loss was hopeless")


def trial(folder: Path, *words: str):
    words = ("trial_of=s", "optimized_metric=val/loss", "test=false", *words)
    return small(folder, *words)


def test_a_pruned_run_keeps_its_figures_and_is_finished_only_when_asked(tmp_path: Path) -> None:
    cfg = trial(tmp_path, "trainer.max_epochs=3")
    folder = run_folder(cfg)
    with pytest.raises(Pruned, match="after epoch 2 of 3: val/loss was hopeless") as caught:
        train_with(cfg, Ask(1))
    record = read_json(folder / "run.json")
    assert caught.value.exit_status == 4 and record["status"] == "pruned"
    assert record["error"] == str(caught.value) and record["trial_of"] == "s"
    assert record["epochs"] == 2 and "trained" not in record
    seen = reports(folder)
    assert list(seen) == [0, 1] and seen[1] == record["results"]["last"]["val/loss"]
    assert len((folder / "metrics.csv").read_text().split("\n1,")) > 1, "the epoch is logged"

    with Run.open(cfg) as run:
        assert run.next_action() is Action.RESUME
    train(cfg)  # by its name: to its end, and what an earlier search asked is forgotten
    assert read_json(folder / "run.json")["status"] == "finished"
    assert list(reports(folder)) == [0, 1, 2] and stop_reason(folder) is None


def test_a_run_that_ends_anyway_is_finished(tmp_path: Path) -> None:
    cfg = trial(tmp_path)
    train_with(cfg, Ask(1))
    assert read_json(run_folder(cfg) / "run.json")["status"] == "finished"
