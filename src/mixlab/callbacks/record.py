"""What the run record needs from a training: each epoch's metrics and seconds."""

import statistics
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from mixlab.loggers import MetricsFile


class RunRecord(pl.Callback):
    """Keep every epoch's metrics and duration, through resumes too."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self._began = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = list(state_dict["epochs"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile):
                logger.resume(trainer.global_step)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = time.monotonic() - self._began  # training and validation
        self.epochs.append({"epoch": trainer.current_epoch, "seconds": seconds, **metrics})

    def results(self, trainer: pl.Trainer) -> dict[str, dict[str, float] | None]:
        """Metrics at the checkpoint chosen on validation (None without one) and at the last."""
        best = None
        chosen = best_checkpoint(trainer)
        if chosen is not None and chosen.best_model_score is not None:
            score, monitor = float(chosen.best_model_score), chosen.monitor
            best = next(row for row in self.epochs if row.get(monitor) == score)
        return {"best": best and dict(best), "last": dict(self.epochs[-1]) if self.epochs else {}}

    def seconds_per_epoch(self) -> float | None:
        """The median; None if no epoch was finished."""
        seconds = [row["seconds"] for row in self.epochs]
        return statistics.median(seconds) if seconds else None


def best_checkpoint(trainer: pl.Trainer) -> ModelCheckpoint | None:
    """The checkpoint callback that chooses on a metric."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor:
            return callback
    return None
