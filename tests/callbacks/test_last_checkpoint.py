"""The last checkpoint: at each epoch's end where that is worth it, and always at the end of all."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from helpers.small_runs import Plain, loader_of_lists, trainer
from mixlab.callbacks import LastCheckpoint


class Steps(LastCheckpoint):
    """Notes the steps at which it writes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.steps: list[int] = []

    def _save_checkpoint(self, trainer: pl.Trainer, filepath: str) -> None:
        self.steps.append(trainer.global_step)
        super()._save_checkpoint(trainer, filepath)


class AtTheEnd(pl.Callback):
    """Looks which checkpoints were written before the training ended."""

    def __init__(self, last: Steps) -> None:
        self.last = last
        self.steps: list[int] = []

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.steps = list(self.last.steps)


def written(folder: Path, seconds: float, **length: int) -> list[int]:
    """The steps of the checkpoints, all of them written at the end of an epoch."""
    last = Steps(str(folder), seconds)
    end = AtTheEnd(last)
    options = {"max_epochs": 4, "enable_checkpointing": True, **length}
    trainer(folder, end, last, **options).fit(Plain(), loader_of_lists())
    assert (folder / "last.ckpt").is_file()
    assert end.steps == last.steps
    return last.steps


def test_each_epoch_where_they_are_long(tmp_path: Path) -> None:
    assert written(tmp_path, 0) == [4, 8, 12, 16]


@pytest.mark.parametrize(
    ("length", "end"), [({}, 16), ({"max_steps": 9}, 9), ({"max_epochs": -1, "max_steps": 6}, 6)]
)
def test_the_first_and_the_last_where_they_are_short(
    tmp_path: Path, length: dict[str, int], end: int
) -> None:
    assert written(tmp_path, 3600, **length) == [4, end]


def test_an_end_that_nobody_foresaw(tmp_path: Path) -> None:
    class Enough(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
            trainer.should_stop = trainer.current_epoch == 2

    last = Steps(str(tmp_path), 3600)
    trainer(tmp_path, last, Enough(), max_epochs=9, enable_checkpointing=True).fit(
        Plain(), loader_of_lists()
    )
    assert last.steps == [4, 8]


@pytest.mark.parametrize("seconds", [-1, "often", None])
def test_values_that_cannot_be(tmp_path: Path, seconds: Any) -> None:
    with pytest.raises(ValueError, match="every_seconds must be a number from 0, got"):
        LastCheckpoint(str(tmp_path), seconds)
