"""Mixer: a method and a policy as one call, for a loop of your own."""

import operator
import warnings
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from mixlab.checks import NUM_CLASSES, SEED, check_fields
from mixlab.errors import Caution, UserError
from mixlab.mixing.binding import bind, needs_network
from mixlab.mixing.blend import Blend
from mixlab.mixing.labels import check_pairs, soft_labels
from mixlab.mixing.methods.method import Method, check_callback
from mixlab.mixing.partners import ACROSS_RANKS
from mixlab.mixing.policy import Policy
from mixlab.mixing.stream import Address


@dataclass(frozen=True)
class Mixer:
    """What timm and torchvision call with a batch: class numbers in, soft labels out.

    It has no random state. What is drawn depends on the seed, the rank and the position of the
    batch, so a resumed training draws what an uninterrupted one draws.

    Attributes:
        method: such as `CutMix(alpha=1.0)`.
        policy: how often, when and with which partners.
        num_classes: for labels that are class numbers.
        seed, rank: of the training, and of this process in it.
        network: images to logits, for methods that look at the network being trained; without
            DistributedDataParallel around it.
    """

    method: Method
    policy: Policy = field(default_factory=Policy)
    num_classes: int | None = None
    seed: int = field(kw_only=True)
    rank: int = 0
    network: nn.Module | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        rank = SEED.but("give the rank of this process")
        check_fields(self, num_classes=NUM_CLASSES, seed=SEED, rank=rank)
        check_callback(self.method, self)
        self.policy.check(self.method)
        if self.network is None and needs_network(self.method):
            raise UserError(
                f"{type(self.method).__name__} looks at the network being trained; give it, as in "
                "Mixer(method, network=net, ...)"
            )
        if self.network is not None:
            object.__setattr__(self, "method", bind(self.method, self.network))
        if self.rank and self.policy.partners == ACROSS_RANKS:
            raise UserError(
                "partners=across_ranks needs the rows of all ranks, which MixingCallback gathers; "
                "in a loop of your own use permutation"
            )

    def __call__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        epoch: int,
        batch: int,
        progress: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """New images and new targets (B, C).

        Args:
            images: (B, ...) float.
            labels: class numbers (B,), or floats (B, C).
            epoch, batch: the position of the batch, from 0.
            progress: share of the training that is done, in [0, 1]; for a schedule.

        Raises:
            UserError: a label is not a class, the position is not of whole numbers, or a schedule
                is not told the progress.
        """
        epoch, batch = whole_from_0("epoch", epoch), whole_from_0("batch", batch)
        if progress is None and (changes := self.policy.over_time):
            raise UserError(
                f"{changes} needs the progress of the training in [0, 1]; "
                "give it, as in progress=epoch / epochs"
            )
        check_pairs(images, labels)
        targets = soft_labels(labels, self.num_classes, images.dtype)
        address = Address(self.seed, self.rank, epoch, batch)
        blend = self.policy.draw(self.method, images, targets, address, progress=progress or 0.0)
        warn_of_one_row(blend)
        return blend.mix(images, targets)


def whole_from_0(name: str, value: Any) -> int:
    """A part of a batch's position, also of numpy or torch; UserError if it is no whole number.

    0.5 would draw what 0 does. What is too small or too large the stream refuses.
    """
    try:
        return operator.index(value)
    except TypeError:
        remedy = "count epochs and batches from 0, as enumerate does"
        raise UserError(f"{name} must be a whole number from 0, got {value!r}; {remedy}") from None


def warn_of_one_row(blend: Blend) -> None:
    """Say so where a single row could have a partner and has none, not even a guest.

    Python shows a warning once for the line that it comes from.
    """
    if blend.num_rows == 1 and blend.num_sources > 1 and not blend.source.any():
        warnings.warn(
            "a batch of one row has no partner to mix with; use larger batches",
            category=Caution,
            stacklevel=1,
        )
