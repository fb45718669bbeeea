"""A trial of a search reports each epoch, and stops where the search finds it hopeless."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from mixlab.callbacks.run_record import RunRecord
from mixlab.errors import ForUsers
from mixlab.runs.trials import forget_stop, report_epoch, stop_reason

ELSEWHERE_DECIDED = "stopped by its search"  # in a rank that has not read why


class Pruned(ForUsers, RuntimeError):
    """The search has stopped this trial. Its checkpoint is kept, and `retry=pruned` resumes it."""

    exit_status = 4


class TrialReports(pl.Callback):
    """Write the metric of each epoch for the search, and stop at an epoch's end if it asks.

    Args:
        folder: of the run.
        metric: what the search goes by, as `val/accuracy`.
        record: has the figures; it comes before this callback.
    """

    changes_training = False

    def __init__(self, folder: str | Path, metric: str, record: RunRecord) -> None:
        self.folder = Path(folder)
        self.metric = metric
        self.record = record
        self.reason: str | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            forget_stop(self.folder)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        row = self.record.epochs[-1]
        if trainer.is_global_zero and self.metric in row:
            report_epoch(self.folder, trainer.current_epoch, row[self.metric])
        reason = stop_reason(self.folder)
        stop = reason is not None
        if trainer.world_size > 1:  # ranks may read the file at different moments
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if stop and not is_last_epoch(trainer):
            of = "" if trainer.max_epochs in (None, -1) else f" of {trainer.max_epochs}"
            self.reason = f"after epoch {trainer.current_epoch + 1}{of}: "
            self.reason += reason or ELSEWHERE_DECIDED
            trainer.should_stop = True  # so that this epoch is logged and saved as any other


def is_last_epoch(trainer: pl.Trainer) -> bool:
    """Whether the training ends here anyway."""
    done = trainer.max_epochs not in (None, -1) and trainer.current_epoch + 1 >= trainer.max_epochs
    return done or trainer.global_step >= trainer.max_steps > 0


def check_pruned(trainer: Any) -> None:
    """Raise `Pruned` if the search has stopped the training."""
    for callback in trainer.callbacks:
        if isinstance(callback, TrialReports) and callback.reason is not None:
            raise Pruned(callback.reason)
