"""The loss of single steps, logged as it was: what an audit makes again and compares."""

from typing import Any

import pytorch_lightning as pl

STEP_LOSS = "train/loss_step"


class StepLoss(pl.Callback):
    """Log the loss of every `trainer.log_every_n_steps`-th step, on the first process's rows.

    The row's `step` counts the optimizer's steps before it, as in all that Lightning logs.
    """

    def __init__(self) -> None:
        self._before = 0  # steps before this batch

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self._before = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, every = self._before, trainer.log_every_n_steps  # pyright: ignore
        if trainer.global_step == step or step % max(1, every):
            return  # gradients are accumulated still, or it is not its turn
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is not None:
            figures = {"epoch": trainer.current_epoch, STEP_LOSS: float(loss)}
            for logger in trainer.loggers:
                logger.log_metrics(figures, step)
