"""A line for each epoch, where no progress bar shows how the training goes."""

from typing import Any

import pytorch_lightning as pl

from mixlab.callbacks.run_record import RunRecord

SHOWN = ("train/loss", "val/loss")  # then what validation measures besides


class EpochLines(pl.Callback):
    """Print `epoch 3 of 15: train loss 0.4123, val loss 0.2011, val accuracy 0.9512, 1.2 s`.

    Args:
        record: has the figures; it comes before this callback.
    """

    changes_training = False

    def __init__(self, record: RunRecord) -> None:
        self.record = record

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero and self.record.epochs:
            of = f" of {trainer.max_epochs}" if trainer.max_epochs not in (None, -1) else ""
            print(f"epoch {trainer.current_epoch + 1}{of}: {figures(self.record.epochs[-1])}")


def figures(row: dict[str, float]) -> str:
    """The metrics of an epoch in words."""
    names = [*SHOWN, *sorted(name for name in row if name.startswith("val/"))]
    shown = [
        f"{name.replace('/', ' ')} {row[name]:.4f}" for name in dict.fromkeys(names) if name in row
    ]
    return ", ".join([*shown, f"{row['seconds']:.1f} s"])
