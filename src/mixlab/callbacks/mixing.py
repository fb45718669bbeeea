"""Decides what is mixed, and logs what was; the data module applies it on the device."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from mixlab.callbacks.across_ranks import gathered, with_other_ranks
from mixlab.callbacks.at_strength import AtStrength
from mixlab.callbacks.confusions import Confusions
from mixlab.callbacks.external_batch import Keys, list_tuples, read_pair, unlist_tuples, write_pair
from mixlab.callbacks.layers import classifier_in, network_of
from mixlab.callbacks.length import check_has_end, length_in_epochs
from mixlab.callbacks.mixing_checks import check_fits_targets, check_network_rule, check_whole
from mixlab.callbacks.mixing_counts import NO_COUNTS, MixingCounts, mean_figures
from mixlab.callbacks.named_options import named_options
from mixlab.checks import BATCH_KEYS, NUM_CLASSES, SEED, check_fields
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, Blend, Method, MixedBatch, Policy
from mixlab.mixing.alpha import AlphaSchedule, alpha_from
from mixlab.mixing.binding import bind, needs_network
from mixlab.mixing.class_probability import ClassProbability, by_number
from mixlab.mixing.methods.ablations import ablated
from mixlab.mixing.methods.method import check_callback
from mixlab.mixing.mixer import warn_of_one_row
from mixlab.mixing.network_partners import bind_rule
from mixlab.mixing.partners import ACROSS_RANKS, CONFUSABLE, NETWORK_RULES
from mixlab.mixing.promise import check_promise
from mixlab.mixing.sample import Sampled
from mixlab.mixing.strength import check_strength


class MixingCallback(AtStrength):
    """Mix training batches with a method, as a policy says.

    `ImageDataModule` calls `mix` on the device, after normalization and augmentation. With other
    data the callback mixes in `on_train_batch_start`, in place, in a list or a dict, and during
    `fit` it has Lightning hand over a tuple as a list. It raises where it cannot mix.

    Args:
        method: What draws a `Blend`, such as `CutMix(alpha=1.0)`.
        probability: Chance in [0, 1] that the gate lets something be mixed.
        gate: What the chance is taken for: `row`, `batch`, or `{every: n}` for the rows of the
            data set whose number is above 0 and divisible by n.
        schedule: `constant`, `linear`, `cosine` or `{off_after: fraction}` of the training.
        partners: Who is mixed with whom: `permutation`, `derangement`, `same_class`, ..., or with
            `across_ranks` a permutation of the rows of all processes, with `by_method` as the
            method pairs them itself.
        num_classes: Needed with data that are not ours and integer targets.
        keys: Of images and targets in a batch that is not ours, where they have unusual names.
        strength: Mean mixed share of a row, the same for every method; it sets the probability.
        alpha_schedule: The method's alpha over the training, `{linear: [0.1, 1.0]}`.
        class_probability: In place of `probability`, for rows of some classes, by name or number.
        mix: `both`, `inputs` or `labels`: what is mixed, with the same draws.
        seed: For data that are not ours, see `default_seed`; a batch of ours brings its own.
    """

    mixes_batches: ClassVar[bool] = True

    @named_options
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
        strength: float | None = None,
        alpha_schedule: AlphaSchedule | None = None,
        class_probability: ClassProbability | None = None,
        mix: str = "both",
    ) -> None:
        check_callback(method, self)
        self.whole_method, self.method = method, ablated(method, mix)
        self.bound = self.method  # with the network, where it looks at one
        self.policy = Policy(
            probability, gate, schedule, partners, alpha_schedule, class_probability
        )
        self.policy.check(method)
        self.partners, self.confusions = partners, Confusions()
        self.strength, self.strength_is_set = strength, strength is None
        self.sampled: Sampled | None = None  # rows to measure it on
        check_strength(strength, self.policy, method)
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
        self.counts = MixingCounts()  # of this epoch

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.position = mixing_callbacks(trainer).index(self)
        self.seed_in_use = default_seed() if self.seed is None else self.seed
        if stage == "fit":
            list_tuples(trainer, pl_module)
        data = getattr(trainer, "datamodule", None)
        if stage == "fit" and hasattr(data, "spec"):
            self.learn(data, trainer.world_size)
        if stage == "fit" and self.partners in NETWORK_RULES:
            check_network_rule(self.partners, trainer, data)
            self.bind(pl_module)

    def learn(self, data: Any, world_size: int) -> None:
        """Take from an `ImageDataModule` what the draws depend on: its pictures and its classes.

        Raises:
            UserError: the policy does not fit them.
        """
        several, masks = data.multi_label, data.has_masks
        check_fits_targets(self.policy, self.is_ablated, several=several, masks=masks)
        if self.policy.class_probability is not None:
            numbers = by_number(self.policy.class_probability, data.spec.class_names)
            self.policy = replace(self.policy, class_probability=numbers)
        self.reach_in(data, world_size)

    def bind(self, pl_module: pl.LightningModule) -> None:
        """Let a rule that asks the network find it, and the confusions in use."""
        counts = self.confusions.as_array()
        rule: Any = bind_rule(self.partners, network_of(pl_module), counts)
        self.policy = replace(self.policy, partners=rule)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        unlist_tuples(trainer, pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        unlist_tuples(trainer, pl_module)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.set_length(length_in_epochs(trainer), trainer.num_training_batches)
        if needs_network(self.method):
            check_whole(trainer, type(self.method).__name__)
        self.bound = bind(self.method, classifier_in(pl_module))

    def set_length(self, epochs: float, batches: float) -> None:
        """Say how long the training is, for the schedule: epochs, and batches in each.

        Infinite batches are those of a loader without a length.

        Raises:
            ValueError: the schedule changes with time and the training or an epoch has no end.
        """
        if self.policy.over_time:
            check_has_end(f"mixing.{self.policy.over_time}", epochs, batches)
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
        self,
        batch: Batch,
        images: Tensor,
        targets: Tensor,
        partners: np.ndarray | None = None,
        *,
        method: Method | None = None,
    ) -> Blend:
        """What happens to this batch: a function of its address and of nothing before it.

        `method` draws in place of the callback's own.
        """
        if batch.address is None:
            raise UserError("only a training batch is mixed, and this one has no address")
        if self.seen is None:
            check_fits_targets(self.policy, self.is_ablated, masks=targets.ndim > 2)
            if not self.strength_is_set:  # or the batch would be kept for the whole training
                self.sampled = self.sampled or partial(self.first_rows, batch)
            self.reach(images.shape[1:], len(batch.images))
        blend = self.policy.draw(
            method or self.bound,
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
            self.counts.add(self.seen.blend, bool(self.method.label_differs))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.seen is None or self.seen.after.address is None:
            return
        figures = mean_figures(self.totals(trainer, pl_module), bool(self.method.label_differs))
        self.counts.restore()
        progress = self.progress(self.seen.after.address)
        figures["probability"] = self.policy.rate(progress)
        if self.policy.alpha_schedule is not None:
            figures["alpha"] = alpha_from(self.policy.alpha_schedule)(progress)
        pl_module.log_dict({f"{self.name}/{key}": value for key, value in figures.items()})

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.confusions.begin()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        counts = self.partners == CONFUSABLE and not trainer.sanity_checking
        if counts and not getattr(batch, "is_repeat", False):
            self.confusions.add(network_of(pl_module), batch, self.keys)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.partners == CONFUSABLE and not trainer.sanity_checking:
            self.confusions.end(trainer)
            self.bind(pl_module)

    @property
    def is_ablated(self) -> bool:
        """Whether only inputs or only labels are mixed."""
        return self.method is not self.whole_method

    @property
    def name(self) -> str:
        """`mixing`, or `mixing1` for the second of several."""
        return f"mixing{self.position or ''}"

    def totals(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Tensor:
        """Of this epoch on all ranks: rows, sum of own shares, mixed rows, sum of own content."""
        counted = self.counts.total()
        if trainer.world_size == 1:
            return counted
        return trainer.strategy.reduce(counted.to(pl_module.device), reduce_op="sum").cpu()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[self.name] = self.totals(trainer, pl_module)
        if self.strength is not None:  # measured for the first batch, where the data are not ours
            checkpoint[f"{self.name}_probability"] = self.policy.probability
        if self.confusions.counts is not None:
            checkpoint[f"{self.name}_confusions"] = self.confusions.counts

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.is_global_zero:  # or every rank would count them again
            self.counts.restore(checkpoint.get(self.name, NO_COUNTS))
        if self.partners == CONFUSABLE:
            self.confusions.counts = checkpoint.get(f"{self.name}_confusions")
            self.bind(pl_module)
        if not self.strength_is_set and f"{self.name}_probability" in checkpoint:
            probability = checkpoint[f"{self.name}_probability"]
            self.policy, self.strength_is_set = replace(self.policy, probability=probability), True


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
