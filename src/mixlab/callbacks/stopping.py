"""Stopping without losing a batch: a signal sets a flag, the batch's end saves and stops.

A checkpoint written inside a signal handler would hold the loader's position after a batch and the
weights from before it.
"""

import signal
import time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from mixlab.checks import number
from mixlab.errors import ForUsers
from mixlab.signals import ECHO, stop_signals


class Interrupted(ForUsers):
    """Training was asked to stop, has saved a checkpoint and can be resumed from it."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}; the same command resumes it")
        self.signum = signum


def as_signal(stop: BaseException) -> BaseException:
    """The signal that Lightning turned into an exit, before or after training."""
    if isinstance(stop, SystemExit) and isinstance(stop.__context__, KeyboardInterrupt):
        return Interrupted(signal.SIGINT)
    if type(stop).__name__ == "SIGTERMException":
        return Interrupted(signal.SIGTERM)
    return stop


class GracefulStop(pl.Callback):
    """On Ctrl-C, SIGTERM or SIGHUP finish the batch, save and raise `Interrupted`.

    A second Ctrl-C, if it is no echo of the first, stops at once. Where gradients are accumulated,
    the stop waits for the step, because no checkpoint holds gradients. Where the batch is the last
    of an epoch, it waits for the next epoch's first step: Lightning miscounts when it resumes from
    between the two. Where an epoch has one batch, it stops before the next epoch, and a resumed run
    begins at the checkpoint of an epoch's end. Where validation or the end of the training comes
    next, it waits for that, too: a resumed run would leave it out.

    Args:
        checkpoint: Where the last checkpoint goes.
        minutes: Also save, and train on, so long after the last time, for epochs that take longer.
    """

    def __init__(self, checkpoint: Path, minutes: float | None = None) -> None:
        number(0).or_(None).check("checkpoint_minutes", minutes)
        self.checkpoint = checkpoint
        self.minutes = minutes
        self.asked: int | None = None
        self._when = 0.0
        self._saved = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved = time.monotonic()
        for signum in stop_signals():
            # In place of Lightning's own, which leaves at the batch's end without a checkpoint.
            signal.signal(signum, self._ask)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._let_go()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._let_go()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        stop = self.asked is not None
        save = stop or self._is_due()
        if trainer.world_size > 1:  # one rank gets the signal, all must save together
            any_rank = partial(trainer.strategy.reduce_boolean_decision, all=False)
            save = any_rank(save)
            stop = save and any_rank(stop)
        if save and self._is_between_steps(trainer, batch_idx):
            trainer.save_checkpoint(self.checkpoint)
            self._saved = time.monotonic()
            if stop:
                raise Interrupted(self.asked or signal.SIGTERM)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.num_training_batches != 1:
            return
        stop = self.asked is not None
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if stop:
            raise Interrupted(self.asked or signal.SIGTERM)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._saved = time.monotonic()  # Lightning's ModelCheckpoint does it now

    @staticmethod
    def _is_between_steps(trainer: pl.Trainer, batch_idx: int) -> bool:
        """Whether a run could go on from here as if it had not stopped."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches or trainer.is_last_batch:
            return False
        loop = trainer.fit_loop
        validates = loop._data_fetcher and loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
        return not validates and trainer.global_step != trainer.max_steps

    def _is_due(self) -> bool:
        return self.minutes is not None and time.monotonic() - self._saved >= 60 * self.minutes

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        if self.asked is None:
            self._when = time.monotonic()
        elif self.asked == signal.SIGINT == signum and time.monotonic() - self._when >= ECHO:
            self._let_go()
            raise KeyboardInterrupt
        self.asked = signum

    def _let_go(self) -> None:
        for signum in stop_signals():
            usual = signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL
            signal.signal(signum, usual)
