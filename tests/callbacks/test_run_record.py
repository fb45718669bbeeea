"""What a run remembers of its epochs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from mixlab.callbacks.run_record import RunRecord, best_checkpoint


def epoch(record: RunRecord, number: int, **metrics: float) -> None:
    """One epoch, validated if there are metrics for that."""
    trainer: Any = SimpleNamespace(current_epoch=number, callback_metrics={})
    record.on_train_epoch_start(trainer, Any)
    if any(name.startswith("val") for name in metrics):
        record.on_validation_end(trainer, Any)
    kept = {name.replace("_", "/"): torch.tensor(value) for name, value in metrics.items()}
    trainer.callback_metrics = {"val/accuracy": torch.tensor(0.25), **kept}  # of an epoch before
    record.on_train_epoch_end(trainer, Any)


def trainer_with(*callbacks: Any) -> Any:
    return SimpleNamespace(checkpoint_callbacks=list(callbacks))


def chosen(score: float | None) -> ModelCheckpoint:
    checkpoint = ModelCheckpoint(monitor="val/accuracy", mode="max")
    checkpoint.best_model_score = None if score is None else torch.tensor(score)
    return checkpoint


def test_figures_of_an_epoch_that_was_not_validated_are_its_own() -> None:
    record = RunRecord()
    epoch(record, 0, val_accuracy=0.5, train_loss=2.0)
    epoch(record, 1, train_loss=1.0)
    assert [row.get("val/accuracy") for row in record.epochs] == [0.5, None]
    assert [row["train/loss"] for row in record.epochs] == [2.0, 1.0]


def test_best_and_last_are_never_confused() -> None:
    record = RunRecord()
    for number, accuracy in enumerate((0.5, 0.75, 0.625)):
        epoch(record, number, val_accuracy=accuracy)
    found = record.results(trainer_with(chosen(0.75)))
    assert found["best"] is not None and found["last"] is not None
    assert (found["best"]["epoch"], found["last"]["epoch"]) == (1, 2)
    found["best"]["test/accuracy"] = 1.0
    assert "test/accuracy" not in record.epochs[1], "a copy"


def test_of_epochs_that_tie_the_first_is_best() -> None:
    """It is the one that `ModelCheckpoint` has saved."""
    record = RunRecord()
    for number, accuracy in enumerate((0.5, 0.75, 0.75)):
        epoch(record, number, val_accuracy=accuracy)
    found = record.results(trainer_with(chosen(0.75)))
    assert found["best"] is not None and found["best"]["epoch"] == 1


@pytest.mark.parametrize("callbacks", [[], [ModelCheckpoint()], [chosen(None)]])
def test_without_validation_there_is_no_best(callbacks: list[ModelCheckpoint]) -> None:
    record = RunRecord()
    epoch(record, 0, train_loss=1.0)
    assert record.results(trainer_with(*callbacks))["best"] is None


def test_a_best_between_two_epoch_ends_has_its_score_alone() -> None:
    record = RunRecord()
    epoch(record, 0, val_accuracy=0.5)
    assert record.results(trainer_with(chosen(0.75)))["best"] == {"val/accuracy": 0.75}


def test_no_epoch_no_figures() -> None:
    assert RunRecord().results(trainer_with()) == {"best": None, "last": {}}
    assert RunRecord().seconds_per_epoch() is None


def test_seconds_go_on_where_an_epoch_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 100.0, 107.0, 1000.0, 1003.0, 2000.0, 2004.0, 2005.0])
    monkeypatch.setattr("mixlab.callbacks.run_record.time.monotonic", lambda: next(clock))
    trainer: Any = SimpleNamespace(current_epoch=0, callback_metrics={}, loggers=[])
    first, second = RunRecord(), RunRecord()
    first.on_train_start(trainer, Any)
    first.on_train_epoch_start(trainer, Any)
    second.load_state_dict(first.state_dict())  # after 7 seconds
    second.on_train_start(trainer, Any)
    second.on_train_epoch_end(trainer, Any)  # 3 more
    second.on_train_epoch_start(trainer, Any)
    second.on_train_epoch_end(trainer, Any)  # 4
    assert [row["seconds"] for row in second.epochs] == [10, 4]
    assert second.seconds_per_epoch() == 7


def test_the_checkpoint_that_chooses_is_found(tmp_path: Path) -> None:
    last, best = ModelCheckpoint(tmp_path), chosen(None)
    assert best_checkpoint(trainer_with(last, best)) is best
    assert best_checkpoint(trainer_with(last)) is None


def test_how_much_was_mixed_is_the_mean_over_the_epochs() -> None:
    record = RunRecord()
    assert record.mixed_share() is None
    record.epochs = [{"mixing/own_share": 0.7}, {"mixing/own_share": 0.9}]
    assert record.mixed_share() == pytest.approx(0.2)
    record.epochs = [{"mixing/own_share": 1.0, "mixing/own_content": 0.8}]  # as cutout's
    assert record.mixed_share() == pytest.approx(0.2)
