"""Decides what is mixed, and logs what was; the data module applies it on the device."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from mixlab.callbacks.across_ranks import gathered, with_other_ranks
from mixlab.callbacks.external_batch import Keys, read_pair, write_pair
from mixlab.checks import BATCH_KEYS, NUM_CLASSES, SEED, check_fields
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, Blend, Method, MixedBatch, Policy
from mixlab.mixing.mixer import warn_of_one_row
from mixlab.mixing.partners import ACROSS_RANKS
from mixlab.mixing.promise import check_promise

NO_COUNTS = torch.zeros(3, dtype=torch.float64)
COUNTED_TOGETHER = 32  # batches counted at once


class MixingCallback(pl.Callback):
    """Mix training batches with a method, as a policy says.

    `ImageDataModule` calls `mix` on the device, after normalisation and augmentation. With other
    data the callback mixes in `on_train_batch_start`, in place, in a list or a dict, or with
    `TupleBatches` in a tuple; it raises where it cannot, and never silently does nothing.

    Args:
        method: What draws a `Blend`, such as `CutMix(alpha=1.0)`.
        probability: Chance in [0, 1] that the gate lets something be mixed.
        gate: What the chance is taken for: `row`, `batch`, or `{every: n}` for the rows of the
            data set whose number is above 0 and divisible by n.
        schedule: `constant`, `linear`, `cosine` or `{off_after: fraction}` of the training.
        partners: Who is mixed with whom: `permutation`, `derangement`, `same_class`, ..., or with
            `across_ranks` a permutation of the rows of all processes.
        num_classes: Needed with data that are not ours and integer targets.
        keys: Of images and targets in a batch that is not ours, where they have unusual names.
        seed: For data that are not ours, see `default_seed`; a batch of ours brings its own.
    """

    mixes_batches: ClassVar[bool] = True

    def __init__(
        self,
        method: Method,
        probability: float = 1.0,
        gate: str | Mapping[str, int] = "row",
        schedule: str | Mapping[str, float] = "constant",
        partners: str = "permutation",
        num_classes: int | None = None,
        seed: int | None = None,
        keys: Keys | None = None,
    ) -> None:
        self.method = method
        self.policy = Policy(probability, gate, schedule, partners)
        self.num_classes = num_classes
        self.keys = keys
        self.seed = seed
        check_fields(self, num_classes=NUM_CLASSES, seed=SEED.or_(None), keys=BATCH_KEYS)
        self.seed_in_use = seed or 0
        self.gather: Callable[[Batch], list[Batch]] = (
            gathered  # the batch of each rank; in a replay there is one process
        )
        self.position = 0  # among several mixing callbacks: each draws its own numbers
        self.epochs = math.inf  # length of the training; there is no progress without an end
        self.batches = 1.0
        self.seen: MixedBatch | None = None  # the last
        self._drawn: list[Blend] = []  # waiting to be counted, many at once: that is cheaper
        self._counted = NO_COUNTS  # rows, sum of their own shares, mixed rows

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.position = mixing_callbacks(trainer).index(self)
        self.seed_in_use = default_seed() if self.seed is None else self.seed

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.set_length(length_in_epochs(trainer), trainer.num_training_batches)

    def set_length(self, epochs: float, batches: float) -> None:
        """Say how long the training is, for the schedule: epochs, and batches in each.

        Infinite batches are those of a loader without a length.

        Raises:
            ValueError: the schedule changes with time and the training or an epoch has no end.
        """
        if self.policy.schedule != "constant":
            needs = f"mixing.schedule={self.policy.schedule} needs to know "
            if math.isinf(batches):
                raise UserError(
                    f"{needs}how many batches an epoch has, and the training loader has no length; "
                    "set trainer.limit_train_batches to a number of batches"
                )
            if math.isinf(epochs):
                raise UserError(
                    f"{needs}the end of the training; set trainer.max_epochs or trainer.max_steps"
                )
        self.epochs, self.batches = epochs, batches

    def progress(self, address: Address) -> float:
        """Share of the training that lies before this batch, in [0, 1]."""
        return min(1.0, (address.epoch + address.batch / self.batches) / self.epochs)

    def mix(self, batch: Batch) -> MixedBatch:
        """Mix one batch of float images (B, ...) and float targets (B, C).

        Returns:
            With a new batch of the same shapes; the one given is not written to.

        Raises:
            ValueError: the batch has no address, so it is not one for training.
        """
        partners = None
        if self.policy.partners == ACROSS_RANKS and len(batches := self.gather(batch)) > 1:
            batch, partners = with_other_ranks(
                batch, batches, self.method.num_partners, self.position
            )
        images, targets = rows_with_guests(batch)
        blend = self.draw(batch, images, targets, partners)
        images, targets = blend.mix(images, targets)
        after = replace(batch, images=images, targets=targets, guests=None, mixed=True)
        self.seen = MixedBatch(batch, after, blend)
        return self.seen

    def draw(
        self, batch: Batch, images: Tensor, targets: Tensor, partners: np.ndarray | None = None
    ) -> Blend:
        """What happens to this batch: a function of its address and of nothing before it."""
        if batch.address is None:
            raise UserError("only a training batch is mixed, and this one has no address")
        blend = self.policy.draw(
            self.method,
            images,
            targets,
            batch.address,
            progress=self.progress(batch.address),
            index=batch.index,
            num_rows=len(batch.images),
            position=self.position,
            partners=partners,
        )
        if self.seen is None:  # once: a method that breaks its promise does so in any batch
            check_promise(self.method, blend)
        return blend

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if isinstance(batch, Batch) and batch.mixed:
            return  # `ImageDataModule` has called `mix`
        address = Address(self.seed_in_use, trainer.global_rank, trainer.current_epoch, batch_idx)
        self.mix_in_place(batch, address)

    def mix_in_place(self, batch: Any, address: Address) -> None:
        """Mix another loader's batch where `training_step` will find it.

        It stays unmarked, so that each of several mixing callbacks mixes it once.
        """
        images, targets = read_pair(batch, self.num_classes, self.keys)
        index = None
        if isinstance(batch, Batch):
            address, index = batch.address or address, batch.index
        _, after, blend = self.mix(Batch(images, targets, address, index))
        warn_of_one_row(blend)
        write_pair(batch, after.images, after.targets, self.keys)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self.seen is not None and not self.seen.after.is_repeat:
            self._drawn.append(self.seen.blend.unpainted)
            if len(self._drawn) == COUNTED_TOGETHER:
                self._count()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.seen is None or self.seen.after.address is None:
            return
        rows, own, mixed = self.totals(trainer, pl_module).tolist()
        self._counted = NO_COUNTS
        figures = {
            f"{self.name}/own_share": own / rows,
            f"{self.name}/mixed_rows": mixed / rows,
            f"{self.name}/probability": self.policy.rate(self.progress(self.seen.after.address)),
        }
        pl_module.log_dict(figures)

    @property
    def name(self) -> str:
        """`mixing`, or `mixing1` for the second of several."""
        return f"mixing{self.position or ''}"

    def totals(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Tensor:
        """Rows of this epoch, the sum of their own shares, and how many are mixed, on all ranks."""
        self._count()
        if trainer.world_size == 1:
            return self._counted
        return trainer.strategy.reduce(self._counted.to(pl_module.device), reduce_op="sum").cpu()

    def _count(self) -> None:
        for blend in self._drawn:
            own, mixed = blend.own_share.double(), blend.mixed_rows
            self._counted = self._counted + torch.stack(
                [torch.ones_like(own).sum(), own.sum(), mixed.double().sum()]
            )
        self._drawn = []

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[self.name] = self.totals(trainer, pl_module)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.is_global_zero:  # or every rank would count them again
            self._counted = checkpoint.get(self.name, NO_COUNTS)


def mixing_callbacks(trainer: pl.Trainer) -> list[MixingCallback]:
    """Those of a trainer, in the order in which they mix."""
    callbacks = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    return [callback for callback in callbacks if isinstance(callback, MixingCallback)]


def default_seed() -> int:
    """The seed of `seed_everything`; without it torch's, which is random unless it was set.

    So mixing is as repeatable as the initial weights are.
    """
    return int(os.environ.get("PL_GLOBAL_SEED") or torch.initial_seed() % 2**32)


def rows_with_guests(batch: Batch) -> tuple[Tensor, Tensor]:
    """Images and targets of the batch's rows, then of the guests' that may be their partners."""
    guests = batch.guests
    if guests is None:
        return batch.images, batch.targets
    return torch.cat([batch.images, guests.images]), torch.cat([batch.targets, guests.targets])


def length_in_epochs(trainer: pl.Trainer) -> float:
    """How long the trainer will train; infinite where nothing says so."""
    epochs = trainer.max_epochs if trainer.max_epochs not in (None, -1) else math.inf
    if trainer.max_steps == -1 or math.isinf(trainer.num_training_batches):
        return epochs
    # An epoch's last batch makes a step of whatever has gathered.
    steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    return min(epochs, trainer.max_steps / steps)
