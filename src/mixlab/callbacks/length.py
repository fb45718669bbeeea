"""How long a training is, in epochs: for what changes with its progress."""

import math

import pytorch_lightning as pl

from mixlab.errors import UserError


def length_in_epochs(trainer: pl.Trainer) -> float:
    """How long the trainer will train; infinite where nothing says so."""
    epochs = trainer.max_epochs if trainer.max_epochs not in (None, -1) else math.inf
    if trainer.max_steps == -1 or math.isinf(trainer.num_training_batches):
        return epochs
    # An epoch's last batch makes a step of whatever has gathered.
    steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    return min(epochs, trainer.max_steps / steps)


def check_has_end(what: str, epochs: float, batches: float) -> None:
    """Raise UserError if a training of so many epochs and batches in each has no end.

    Args:
        what: needs to know the end, as mixing.schedule=linear.
        epochs, batches: infinite where they are not known.
    """
    if math.isinf(batches):
        raise UserError(
            f"{what} needs to know how many batches an epoch has, and the training loader has no "
            "length; set trainer.limit_train_batches to a number of batches"
        )
    if math.isinf(epochs):
        raise UserError(
            f"{what} needs to know the end of the training; set trainer.max_epochs or "
            "trainer.max_steps"
        )
