"""Noise: each pixel of each channel is moved by a normal draw of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab.data.augmentation import checks
from mixlab.data.augmentation.augmentation import Occasional, white


@dataclass(frozen=True)
class Noise(Occasional):
    """Gaussian noise of zero mean; what leaves the range of pixels is clipped.

    Attributes:
        std: [lowest, highest] in [0, 1], standard deviation as a share of white; drawn uniformly
            for each image.
    """

    std: Sequence[float] = (0.0, 0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.span("std", self.std, 0, 1)

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("noise",)

    def changed(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        std = rng.uniform(*self.std, size=(len(images), 1, 1, 1)).astype(np.float32)
        scale = torch.from_numpy(std).to(images.device) * white(images)
        return as_pixels(normal_like(images, rng).mul_(scale).add_(images), images)


def normal_like(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Standard normal float32 numbers of the shape and on the device of `images`.

    There are too many for numpy: torch draws them, on the device, with a seed from `rng`.
    """
    generator = torch.Generator(images.device).manual_seed(int(rng.integers(2**63)))
    return torch.randn(images.shape, generator=generator, device=images.device, dtype=torch.float32)


def as_pixels(values: Tensor, images: Tensor) -> Tensor:
    """`values`, clipped (in place) to the range of pixels and in the dtype of `images`."""
    values = values.clamp_(0, white(images))
    return values.round_().to(torch.uint8) if images.dtype == torch.uint8 else values.to(images)
