"""Where a rank stands in its training, for the other ranks to compare with."""

from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl

FIRST_PATIENCE = 4  # limits that a first batch may take: networks compile, loader workers start
OUTSIDE = "before, between or after training and tests"


@dataclass(frozen=True)
class Mark:
    """A point that every rank passes, in the same order.

    Attributes:
        order: compares points; empty outside of training, validation and tests.
        where: the same in words, counted from 0 as `mixlab-preview` takes them.
        patience: how many limits a rank may stand here.
    """

    order: tuple[int, ...] = ()
    where: str = OUTSIDE
    patience: int = 1


class RankMarks(pl.Callback):
    """Keeps the last `Mark` that this rank has passed.

    It comes after the user's callbacks and before those that wait for the other ranks, so that a
    rank that hangs in a callback stands behind those that wait.
    """

    changes_training = False

    def __init__(self) -> None:
        self.mark = Mark()
        self._rounds = 0  # trainings and tests that began
        self._trained = False  # whether a batch was trained in this process
        self._evaluated = False  # the same of validation and tests
        self._position = (0, 0, 0)  # epoch, batch and point in training

    def at(self, trainer: pl.Trainer, batch: int, point: int, words: str) -> None:
        """A point of training: 0 before a batch, 1 to 3 in its step, 4 at its end."""
        self._position = (trainer.current_epoch, batch, point)
        where = f"epoch {trainer.current_epoch}, batch {batch} ({words})"
        patience = 1 if self._trained else FIRST_PATIENCE
        self.mark = Mark((self._rounds, *self._position, 0, 0), where, patience)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._rounds += 1

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        progress = trainer.fit_loop.epoch_loop.batch_progress
        self.at(trainer, progress.current.ready, 0, "loading, mixing and callbacks before its step")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.at(trainer, batch_idx, 1, "the forward pass")

    def on_before_backward(self, trainer: pl.Trainer, *args: Any) -> None:
        self.at(trainer, self._position[1], 2, "the backward pass, where ranks wait for each other")

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.at(trainer, self._position[1], 3, "the update and the end of the batch")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._trained = True
        self.at(trainer, batch_idx + 1, 0, "loading, mixing and callbacks before its step")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.at(trainer, self._position[1], 4, "the end of the epoch")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.mark = Mark()

    def evaluated(self, stage: str, batch: int, passed: int) -> None:
        """A point of validation or tests, before or after a batch."""
        point = 1 + 2 * batch + passed
        self._evaluated |= passed > 0
        words = "after it" if passed else "in it"
        patience = 1 if self._evaluated else FIRST_PATIENCE
        order = (self._rounds, *self._position, point, 0)
        self.mark = Mark(order, f"{stage}, batch {batch} ({words})", patience)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        self.evaluated(f"epoch {trainer.current_epoch}, validation", batch_idx, 0)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self.evaluated(f"epoch {trainer.current_epoch}, validation", batch_idx, 1)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._rounds += 1

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        self.evaluated("test", batch_idx, 0)

    def on_test_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self.evaluated("test", batch_idx, 1)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.mark = Mark()
