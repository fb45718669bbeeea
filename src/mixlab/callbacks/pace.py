"""How fast a training goes and at what learning rate, for W&B alone: metrics.csv stays as it is."""

import time
from typing import Any

import pytorch_lightning as pl

from mixlab.callbacks.run_record import RunRecord
from mixlab.loggers import WandbRun


class Pace(pl.Callback):
    """At each epoch's end log `lr`, `images_per_second` and `seconds_per_epoch` to W&B.

    The rate is over the time of training alone, and over what this process saw of the epoch; the
    seconds are those of `run.json`, with validation. `lr` is the highest of the optimizer's groups.

    Args:
        record: has the seconds; it comes before this callback.
    """

    changes_training = False

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        self._lr, self._rows = 0.0, 0
        self._busy = self._since = 0.0  # seconds of training; when the clock was last started

    def begin(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Start counting; schedulers change the rate before the epoch's end is announced."""
        groups = [group for each in trainer.optimizers for group in each.param_groups]
        self._lr = max((float(group["lr"]) for group in groups if "lr" in group), default=0.0)
        self._rows, self._busy, self._since = 0, 0.0, time.monotonic()

    on_train_start = begin  # an epoch that goes on does not start again
    on_train_epoch_start = begin

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        images, *_ = batch
        self._rows += len(images) * trainer.world_size

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._busy += time.monotonic() - self._since

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._since = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        seconds = self._busy + time.monotonic() - self._since
        figures = {
            "epoch": trainer.current_epoch,
            "lr": self._lr,
            "images_per_second": self._rows / seconds,
            "seconds_per_epoch": self.record.epochs[-1]["seconds"],
        }
        for logger in trainer.loggers:
            if isinstance(logger, WandbRun):
                logger.log_metrics(figures, trainer.global_step - 1)
