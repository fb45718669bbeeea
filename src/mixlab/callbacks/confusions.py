"""What the network confuses in validation, counted for `partners=confusable`."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from mixlab.callbacks.external_batch import Keys, find_pair
from mixlab.mixing import Batch
from mixlab.mixing.network_partners import predicted


class Confusions:
    """Counts (C, C) of true by predicted class, of the last whole validation.

    Validation sees whole rows with their own labels, after every epoch at the same weights in an
    interrupted run and an uninterrupted one. All ranks have the counts of all rows.
    """

    def __init__(self) -> None:
        self.counts: Tensor | None = None  # (C, C) int64 on the CPU
        self._so_far: Tensor | None = None

    def begin(self) -> None:
        """Forget the counts of a validation that was cut off."""
        self._so_far = None

    def add(self, network: torch.nn.Module, batch: Any, keys: Keys | None = None) -> None:
        """Count a batch of float images (B, ...) and targets, floats (B, C) or numbers (B,)."""
        images, targets = rows_of(batch, keys)
        logits = predicted(network, images)
        number = logits.shape[1]
        true = targets.argmax(1) if targets.is_floating_point() else targets
        pairs = torch.bincount(true * number + logits.argmax(1), minlength=number * number)
        counts = pairs.view(number, number)
        self._so_far = counts if self._so_far is None else self._so_far + counts

    def end(self, trainer: pl.Trainer) -> None:
        """Take the counts of all ranks in use."""
        if self._so_far is not None:
            total: Any = self._so_far
            if trainer.world_size > 1:
                total = trainer.strategy.reduce(total, reduce_op="sum")
            self.counts = total.cpu()
        self._so_far = None

    def as_array(self) -> np.ndarray | None:
        """The counts as numpy's."""
        return None if self.counts is None else self.counts.numpy()


def rows_of(batch: Any, keys: Keys | None) -> tuple[Tensor, Tensor]:
    """Images and targets of a batch of any loader's."""
    if isinstance(batch, Batch):
        return batch.images, batch.targets
    values = list(batch) if isinstance(batch, tuple) else batch
    images, targets = find_pair(values, keys)
    return values[images], values[targets]
