"""From loaded to mixable batches: augmented, float, normalized, with dense targets."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.checks import is_number, number, several
from mixlab.data.augmentation import Augmentation
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, Purpose, stream


@dataclass(frozen=True)
class Normalize:
    """(row - mean) / std, channel by channel (feature by feature), of floats; images in [0, 1].

    Attributes:
        feature_axis: of a row, see `DataSpec`.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    feature_axis: int = 0

    @staticmethod
    def of(
        config: Mapping[str, Sequence[float]] | None, channels: int, feature_axis: int = 0
    ) -> "Normalize | None":
        """From `{mean: [...], std: [...]}`; one number applies to every channel.

        Raises:
            ValueError: a key is missing or unknown, a list too long or short, or a std not > 0.
        """
        if config is None:
            return None
        if not isinstance(config, Mapping) or set(config) != {"mean", "std"}:
            raise UserError(
                f"data.normalize must be null, train or {{mean: .., std: ..}}, got {config}"
            )
        values = {key: per_channel(key, value, channels) for key, value in config.items()}
        if min(values["std"]) <= 0:
            raise UserError(f"data.normalize.std must be > 0, got {list(values['std'])}")
        return Normalize(**values, feature_axis=feature_axis)

    @staticmethod
    def from_rows(rows: Tensor, feature_axis: int) -> "Normalize":
        """Mean and standard deviation of each channel or feature of (N, ...) training rows.

        uint8 counts as [0, 1]. A channel that never changes has the standard deviation 1.
        """
        rows = rows.movedim(feature_axis + 1 if feature_axis >= 0 else feature_axis, 1)
        parts = [values_of_channel(rows[:, channel]) for channel in range(rows.shape[1])]
        mean = tuple(part.mean().item() for part in parts)
        std = tuple(part.std(correction=0).item() for part in parts)
        return Normalize(mean, tuple(each if each > 0 else 1.0 for each in std), feature_axis)

    def __call__(self, images: Tensor) -> Tensor:
        """Normalized copy of float (B, ...) images or other rows."""
        shape = [-1] + [1] * (images.ndim - 2) if self.feature_axis == 0 else [-1]
        mean, std = (
            # `torch.tensor(.., device=..)` would wait for a GPU.
            torch.tensor(values, dtype=images.dtype)
            .view(shape)
            .to(images.device, non_blocking=True)
            for values in (self.mean, self.std)
        )
        return (images - mean).div_(std)


def values_of_channel(rows: Tensor) -> Tensor:
    """float64 of one channel, in [0, 1] if it is uint8."""
    return rows.double() / (255 if rows.dtype == torch.uint8 else 1)


def per_channel(key: str, value: Sequence[float] | float, channels: int) -> tuple[float, ...]:
    if not is_number(value) and not several(number(-math.inf)).contains(value):
        raise UserError(f"data.normalize.{key} must be a number or a list of them, got {value!r}")
    numbers = [value] * channels if isinstance(value, int | float) else list(value)
    if len(numbers) != channels:
        raise UserError(
            f"data.normalize.{key} has {len(numbers)} numbers, but the images have {channels} "
            "channels"
        )
    return tuple(float(number) for number in numbers)


@dataclass(frozen=True)
class Preprocess:
    """Augmentation and conversion of batches, on the device where they are.

    Attributes:
        num_classes: of the data.
        augmentation: of training batches; one that works image by image was applied on loading.
        normalize: of all images, or None.
    """

    num_classes: int
    augmentation: Augmentation | None = None
    normalize: Normalize | None = None

    def __call__(self, batch: Batch, address: Address) -> Batch:
        """A training batch and its guests, augmented, in float, with one-hot targets."""
        self.augment(batch, address)
        for rows in (batch, batch.guests):
            if rows is not None:
                rows.images = self.floated(rows.images)
                rows.targets = dense(rows.targets, self.num_classes)
        return batch

    def augment(self, batch: Batch, address: Address) -> None:
        """Augment a batch and its guests, unless that was done on loading."""
        if self.augmentation is None or self.augmentation.per_image:
            return
        rng = stream(address, Purpose.AUGMENT)
        for rows in (batch, batch.guests):
            if rows is None:
                continue
            if rows.targets.ndim == 3:  # the class of each pixel
                both = self.augmentation.with_masks(rows.images, rows.targets, rng)
                rows.images, rows.targets = both
            else:
                rows.images = self.augmentation(rows.images, rng)

    def floated(self, images: Tensor) -> Tensor:
        """float32 (B, ...): uint8 divided by 255, then normalized if configured."""
        floats = images.to(torch.float32)
        if images.dtype == torch.uint8:
            floats.div_(255)
        return self.normalize(floats) if self.normalize else floats


def dense(targets: Tensor, num_classes: int) -> Tensor:
    """float32 targets of training: one-hot, or (B, num_classes) of several labels as they are."""
    return targets.float() if targets.ndim == 2 else one_hot(targets, num_classes)


def one_hot(targets: Tensor, num_classes: int) -> Tensor:
    """float32 (B, num_classes) of (B,) labels, or (B, num_classes, H, W) of (B, H, W) masks.

    `F.one_hot` would check the range, which waits for a GPU.
    """
    shape = (len(targets), num_classes, *targets.shape[1:])
    dense = torch.zeros(shape, dtype=torch.float32, device=targets.device)
    return dense.scatter_(1, targets[:, None].long(), 1.0)
