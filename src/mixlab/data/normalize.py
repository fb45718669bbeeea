"""Bringing channels to a common mean and spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normalize:
    """(image - mean) / std, channel by channel, of float images in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @staticmethod
    def of(config: Mapping[str, Sequence[float]] | None, channels: int) -> "Normalize | None":
        """From `{mean: [...], std: [...]}`; one number stands for every channel.

        Raises:
            ValueError: if a key is missing or unknown, a list too long or short, or a std not > 0.
        """
        if config is None:
            return None
        if not isinstance(config, Mapping) or set(config) != {"mean", "std"}:
            raise ValueError(f"data.normalize must be null or {{mean: .., std: ..}}, got {config}")
        values = {key: per_channel(key, value, channels) for key, value in config.items()}
        if min(values["std"]) <= 0:
            raise ValueError(f"data.normalize.std must be > 0, got {list(values['std'])}")
        return Normalize(**values)

    def __call__(self, images: Tensor) -> Tensor:
        """Normalised copy of float (B, C, H, W) images."""
        mean, std = (
            torch.tensor(values, dtype=images.dtype, device=images.device).view(-1, 1, 1)
            for values in (self.mean, self.std)
        )
        return (images - mean).div_(std)


def per_channel(key: str, value: Sequence[float] | float, channels: int) -> tuple[float, ...]:
    numbers = [value] * channels if isinstance(value, int | float) else list(value)
    if len(numbers) != channels:
        raise ValueError(
            f"data.normalize.{key} has {len(numbers)} numbers, but the images have {channels} "
            "channels"
        )
    return tuple(float(number) for number in numbers)
