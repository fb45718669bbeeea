"""What a training loader yields: rows, their targets, and the address that seeds all draws."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Protocol, Self

from torch import Tensor

from mixlab.mixing.blend import Blend
from mixlab.mixing.stream import Address


@dataclass
class _Pinnable:
    """Gives a dataclass of tensors the `pin_memory` that torch's loaders look for."""

    def pin_memory(self) -> Self:
        """A copy whose tensors are in page-locked memory."""
        pinnable = {name: each for name, each in vars(self).items() if hasattr(each, "pin_memory")}
        return replace(self, **{name: each.pin_memory() for name, each in pinnable.items()})


@dataclass
class Guests(_Pinnable):
    """Rows beyond the batch that may feed it; images, targets and index as a batch's, G of each."""

    images: Tensor
    targets: Tensor
    index: Tensor | None = None


@dataclass
class Batch(_Pinnable):
    """One batch; `images, targets = batch` unpacks it in any training step.

    Attributes:
        images: (B, ...) uint8 from the loader, float after the transfer to the device.
        targets: (B,) int64 classes, or (B, C) float in training after the transfer.
        address: the position of the batch; None outside training, where batches are never mixed.
        index: (B,) int64, row numbers in the data set.
        guests: rows beyond the batch that may be partners.
        mixed: whether a `BatchMixer` made it.
        global_rows: rows of all ranks together, where that is known.

    Not frozen, because Lightning's transfer to the device rebuilds a dataclass field by field.
    """

    images: Tensor
    targets: Tensor
    address: Address | None = None
    index: Tensor | None = None
    guests: Guests | None = None
    mixed: bool = False
    global_rows: int | None = None

    @property
    def is_repeat(self) -> bool:
        """Whether the rows are another rank's, repeated because there are fewer than ranks."""
        if self.address is None or self.global_rows is None:
            return False
        return self.address.rank >= self.global_rows

    def __iter__(self) -> Iterator[Tensor]:
        yield self.images
        yield self.targets


class MixedBatch(NamedTuple):
    """A batch before and after mixing, and the blend that was drawn for it."""

    before: Batch
    after: Batch
    blend: Blend


class BatchMixer(Protocol):
    """What `ImageDataModule` calls among the trainer's callbacks, to mix a training batch."""

    mixes_batches: ClassVar[bool] = True

    def mix(self, batch: Batch) -> MixedBatch: ...
