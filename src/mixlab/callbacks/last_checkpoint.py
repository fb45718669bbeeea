"""The last checkpoint: of each epoch's end, as far as that is worth its time."""

import time

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from mixlab.checks import number


class LastCheckpoint(ModelCheckpoint):
    """Write `last.ckpt` at an epoch's end, unless it was written just before.

    Epochs of a tenth of a second would else spend more on writing than a death could cost. The
    last epoch's is always written.

    Args:
        dirpath: the folder for it.
        every_seconds: how long after the one before, at least; 0 writes at each epoch's end.
    """

    def __init__(self, dirpath: str, every_seconds: float = 0.5) -> None:
        number(0).check("callbacks.last.every_seconds", every_seconds)
        super().__init__(
            dirpath=dirpath,
            filename="last",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self.every_seconds = every_seconds
        self._written = -float("inf")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        due = is_over(trainer) or time.monotonic() - self._written >= self.every_seconds
        if trainer.world_size > 1:  # all ranks take part in writing, and their clocks differ
            due = trainer.strategy.broadcast(due)
        if due:
            super().on_train_epoch_end(trainer, pl_module)
            self._written = time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)  # nothing, if it was foreseen


def is_over(trainer: pl.Trainer) -> bool:
    """Whether the epoch that ends is the training's last."""
    epochs = trainer.max_epochs
    ends = epochs is not None and trainer.current_epoch + 1 >= epochs >= 0
    return ends or trainer.should_stop or trainer.global_step == trainer.max_steps
