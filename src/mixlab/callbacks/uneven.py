"""The mean over all rows of a batch, where ranks have unequal numbers of them."""

from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from mixlab.mixing import Batch


class UnevenBatches(pl.Callback):
    """Weight each rank's loss by its share of the rows, for ranks' gradients are averaged.

    Of 11 rows, one rank has 6 and the other 5: the mean of their two means is not the mean over
    11. A rank that repeats rows because there are fewer than ranks has weight 0. Only gradients are
    scaled, so that figures stay those of the rank's rows; where all ranks have as many rows,
    nothing is multiplied.
    """

    changes_training = False

    def __init__(self) -> None:
        self._weight = 1.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._weight = rank_weight(batch, trainer.world_size)

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        weight = self._weight
        if weight != 1 and loss.requires_grad:
            loss.register_hook(lambda gradient: gradient * weight)


def rank_weight(batch: Any, world_size: int) -> float:
    """This rank's part of the mean over a global batch, relative to an even deal."""
    if not isinstance(batch, Batch) or batch.global_rows is None:
        return 1.0
    rows = 0 if batch.is_repeat else len(batch.images)
    return rows * world_size / batch.global_rows
