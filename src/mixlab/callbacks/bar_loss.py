"""The loss in the progress bar, from the first step on: an epoch's own figures come at its end."""

import time
from typing import Any

import pytorch_lightning as pl

EVERY_SECONDS = 0.2  # reading a loss from a GPU waits for it


class BarLoss(pl.Callback):
    """Show the loss of the last step in Lightning's progress bar, and nowhere else.

    `log` would do that too, and put it among the metrics of the epoch.
    """

    changes_training = False

    def __init__(self) -> None:
        self._next = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if now >= self._next and loss is not None:
            self._next = now + EVERY_SECONDS
            trainer._logger_connector._progress_bar_metrics["loss"] = float(loss)
