"""A loss that is no number ends the training before it reaches the weights."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from mixlab.errors import ForUsers


class Diverged(ForUsers, RuntimeError):
    """The loss, or what was to be saved, is NaN or infinite. Training again would do the same."""

    exit_status = 3


class StopOnDivergence(pl.Callback):
    """Raise `Diverged` before the optimizer's step; all ranks together.

    The loss is sent off to the CPU when the forward pass is queued and awaited when the backward
    pass is: so a GPU always has the backward pass to do while its CPU waits, and no update is ever
    made with a loss that was not looked at. Weights can overflow in an update with a finite loss,
    so a checkpoint is not written with such weights either: the last one is always sound.
    """

    def __init__(self) -> None:
        self._loss: Tensor | None = None
        self._arrived: torch.cuda.Event | None = None
        self._work: Any = None

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        loss = loss.detach()
        if trainer.world_size > 1:  # the sum is finite only where every rank's loss is
            loss = loss.float().clone()
            self._work = torch.distributed.all_reduce(loss, async_op=True)
        if loss.is_cuda:
            if self._work is not None:
                self._work.wait()  # of the stream, not of the CPU
                self._work = None
            loss = loss.to("cpu", non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        self._loss = loss

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._loss is None:
            return
        if self._work is not None:
            self._work.wait()
        if self._arrived is not None:
            self._arrived.synchronize()
        value = self._loss.item()
        self._loss = self._work = self._arrived = None
        if not math.isfinite(value):
            raise Diverged(f"the loss became {value} {training_position(trainer)}")

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        for name, weights in pl_module.named_parameters():
            if not weights.isfinite().all():
                raise Diverged(f"{name} is not finite any more {training_position(trainer)}")


def training_position(trainer: pl.Trainer) -> str:
    """Where training stands; steps are counted from 0, as epochs are."""
    return f"in epoch {trainer.current_epoch + 1} at step {trainer.global_step}"
