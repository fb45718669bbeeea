"""The probability at which a mixing callback reaches its strength, once the rows are known."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, cast

import pytorch_lightning as pl
import torch

from mixlab.mixing import Batch, Method, Policy
from mixlab.mixing.partners import ACROSS_RANKS
from mixlab.mixing.sample import Sample, Sampled
from mixlab.mixing.strength import at_share, mixed_share


class AtStrength(pl.Callback):
    """What `MixingCallback` is made on: a strength sets the probability of its policy, once.

    Attributes:
        whole_method: whose share is measured, though `mix` may apply a part of what it draws.
        strength: the mean mixed share that is wanted; None leaves the probability as it is.
        strength_is_set: whether nothing is left to do.
        sampled: gives rows to measure the share on, where pictures or classes decide it.
        partners: the rule by its name, also where the policy has it bound to a network.
        gather: the batch of each rank.
    """

    whole_method: Method
    policy: Policy
    partners: Any
    strength: float | None
    strength_is_set: bool
    sampled: Sampled | None
    gather: Callable[[Batch], list[Batch]]

    def reach_in(self, data: Any, world_size: int) -> None:
        """Set the probability that the strength needs with an `ImageDataModule`."""
        shared = self.policy.partners == ACROSS_RANKS
        rows = data.batch_size if shared else -(-data.batch_size // world_size)
        if not self.strength_is_set:
            self.sampled = lambda: data.sampled_rows(world_size)
        self.reach(data.spec.shape, rows)

    def reach(self, picture: Sequence[int], batch_rows: int) -> None:
        """Set the probability that the strength needs, once."""
        if self.strength_is_set:
            return
        strength, sampled = cast(float, self.strength), self.sampled and cache(self.sampled)
        policy = replace(self.policy, partners=self.partners)  # the name, where it is bound
        share = partial(self.share_at, picture, sampled)
        policy = at_share(policy, self.whole_method, strength, share, batch_rows, sampled)
        self.policy = replace(self.policy, probability=policy.probability)
        self.strength_is_set, self.sampled = True, None

    def share_at(self, picture: Sequence[int], sampled: Sampled | None, itself: float) -> float:
        """The mean mixed share of a row, see `mixed_share`."""
        return mixed_share(self.whole_method, picture, itself, sampled)

    def first_rows(self, batch: Batch) -> Sample:
        """Of all ranks, of a batch that is the first of other data than ours."""
        batches = self.gather(batch)
        images, targets = (torch.cat(rows).cpu() for rows in zip(*batches, strict=True))
        return Sample(images, targets)
