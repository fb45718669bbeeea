"""What the run record needs from a training: each epoch's metrics and seconds."""

import os
import statistics
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from mixlab.loggers import MetricsFile

OWN_CONTENT, OWN_SHARE = "mixing/own_content", "mixing/own_share"  # of an epoch; the first where
# labels do not say what was mixed


class RunRecord(pl.Callback):
    """Keep every epoch's metrics and duration, through resumes too.

    Args:
        goes_on: whether a checkpoint to start from is this run's own. Another's gives its weights
            and counters; what its callbacks have seen is its own affair.
    """

    def __init__(self, goes_on: bool = True) -> None:
        self.goes_on = goes_on
        self.epochs: list[dict[str, float]] = []
        self._began = 0.0
        self._before = 0.0  # seconds of this epoch before it was cut off
        self._validated = False

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs, self._before = list(state_dict["epochs"]), state_dict["seconds"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.monotonic()  # an epoch that goes on does not start again

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["pending_row"] = pending_row(trainer)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        pending = checkpoint.get("pending_row") if self.goes_on else None
        for logger in trainer.loggers:  # here, for a training that was over is not started again
            if isinstance(logger, MetricsFile):
                logger.resume(checkpoint["global_step"], pending)
        if not self.goes_on:
            checkpoint["callbacks"].clear()
        for callback in trainer.checkpoint_callbacks:
            state = checkpoint["callbacks"].get(callback.state_key)
            if state and isinstance(callback, ModelCheckpoint):
                checkpoint["callbacks"][callback.state_key] = moved(state, str(callback.dirpath))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began, self._before = time.monotonic(), 0.0
        self._validated = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not self._validated:  # Lightning keeps the figures of the last time
            metrics = {name: value for name, value in metrics.items() if name[:4] != "val/"}
        seconds = self._seconds()  # training and validation
        self.epochs.append({"epoch": trainer.current_epoch, "seconds": seconds, **metrics})

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    def results(self, trainer: pl.Trainer) -> dict[str, dict[str, float] | None]:
        """Metrics at the checkpoint chosen on validation (None without one) and at the last."""
        best = None
        chosen = best_checkpoint(trainer)
        if chosen is not None and chosen.best_model_score is not None:
            score, monitor = float(chosen.best_model_score), str(chosen.monitor)
            rows = (row for row in self.epochs if row.get(monitor) == score)
            best = dict(next(rows, {monitor: score}))  # none, if validation came within an epoch
        return {"best": best, "last": dict(self.epochs[-1]) if self.epochs else {}}

    def seconds_per_epoch(self) -> float | None:
        """The median; None if no epoch was finished."""
        seconds = [row["seconds"] for row in self.epochs]
        return statistics.median(seconds) if seconds else None

    def mixed_share(self) -> float | None:
        """What others replaced of a row, as the mean over the epochs; None if nothing was mixed."""
        own = [row.get(OWN_CONTENT, row.get(OWN_SHARE)) for row in self.epochs]
        known = [share for share in own if share is not None]
        return 1 - statistics.fmean(known) if known else None


def pending_row(trainer: pl.Trainer) -> dict[str, float]:
    """What Lightning is about to log: it does so after the callbacks, and so after a checkpoint.

    A process that dies, or is stopped, between the two would leave a gap in `metrics.csv`.
    """
    connector = trainer._logger_connector
    at_epochs_end = connector._first_loop_iter is None
    if trainer._results is None or not (at_epochs_end or connector.should_update_logs):
        return {}
    row = {name: float(value) for name, value in connector.metrics["log"].items()}
    return {"epoch": trainer.current_epoch, **row} if row else {}


def moved(node: Any, folder: str, before: str = "") -> Any:
    """A `ModelCheckpoint`'s state with its paths in `folder`, where the run lies now."""
    if isinstance(node, dict):
        before = before or node["dirpath"]
        pairs = ((moved(key, folder, before), value) for key, value in node.items())
        return {key: moved(value, folder, before) for key, value in pairs}
    return node.replace(before, folder) if isinstance(node, str) else node


def best_checkpoint(trainer: pl.Trainer) -> ModelCheckpoint | None:
    """The checkpoint callback that chooses on a metric."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor:
            return callback
    return None


EVERY = 10.0  # seconds


class Heartbeat(pl.Callback):
    """Touch `.lock` in the run folder every ten seconds, if batches go by.

    Args:
        folder: The run's.
    """

    def __init__(self, folder: str | Path) -> None:
        self.file = Path(folder) / ".lock"
        self._next = 0.0

    def beat(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Touch the file, unless that was just done. A disk that refuses costs no training."""
        now = time.monotonic()
        if now >= self._next and trainer.is_global_zero:
            self._next = now + EVERY
            try:
                os.utime(self.file)
            except OSError:
                pass

    on_train_batch_end = beat
    on_validation_batch_end = beat
    on_test_batch_end = beat
