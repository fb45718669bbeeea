"""Rotation, color jitter and blur, by torchvision."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.data.augmentation.augmentation import Occasional, white
from mixlab.data.augmentation.library import BORDER_FILLS, Library, PilLibrary
from mixlab.data.spec import ImageSpec
from mixlab.errors import UserError


@dataclass(frozen=True)
class Rotation(PilLibrary):
    """Turns each image around its center (bilinear), by an angle drawn uniformly.

    Attributes:
        degrees: in [0, 180], the most, either way.
        fill: of the corners that come into view, `black` or `gray`.
    """

    degrees: float = 15.0
    fill: str = "black"

    def check(self) -> None:
        checks.number(0, 180).check("augmentation.degrees", self.degrees)
        checks.one_of(*BORDER_FILLS).check("augmentation.fill", self.fill)

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("rotate",)

    @cached_property
    def transform(self) -> Callable[[Any], Any]:
        return self.turn("bilinear", BORDER_FILLS[self.fill])

    @cached_property
    def mask_transform(self) -> Callable[[Any], Any]:
        return self.turn("nearest", 0)

    def turn(self, interpolation: str, fill: int) -> Callable[[Any], Any]:
        """The library's rotation."""
        from torchvision.transforms import v2

        sides = (-self.degrees, self.degrees)
        return v2.RandomRotation(sides, v2.InterpolationMode(interpolation), fill=fill)


@dataclass(frozen=True)
class ColorJitter(Library):
    """Brightness, contrast, saturation and hue, each by a factor of its own, in random order.

    Gray images have neither saturation nor hue: there these two change nothing.

    Attributes:
        brightness, contrast, saturation: in [0, 1]; x is a factor from 1 - x to 1 + x.
        hue: in [0, 0.5], the most that it is turned either way, in full turns.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1

    def check(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            checks.number(0, 1).check(f"augmentation.{name}", getattr(self, name))
        checks.number(0, 0.5).check("augmentation.hue", self.hue)

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("color",)

    @cached_property
    def transform(self) -> Callable[[Any], Any]:
        from torchvision.transforms import v2

        return v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)


@dataclass(frozen=True)
class Blur(Library):
    """Gaussian blur.

    Attributes:
        sigma: [lowest, highest] in [0.01, 100] pixels, standard deviation; drawn uniformly.
        kernel_size: odd, from 3 to 99: pixels that the bell is cut off at, across.
    """

    sigma: Sequence[float] = (0.1, 2.0)
    kernel_size: int = 5

    def check(self) -> None:
        checks.span(0.01, 100).check("augmentation.sigma", self.sigma)
        checks.whole(3, 99).check("augmentation.kernel_size", self.kernel_size)
        if self.kernel_size % 2 == 0:
            raise UserError(f"augmentation.kernel_size must be odd, got {self.kernel_size}")

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("blur",)

    def check_spec(self, spec: ImageSpec, name: str) -> None:
        super().check_spec(spec, name)
        shorter = min(spec.height, spec.width)
        if self.kernel_size // 2 >= shorter:
            raise UserError(
                f"augmentation.kernel_size must be below {2 * shorter} for images of {name}, whose "
                f"shorter side has {shorter} pixels, got {self.kernel_size}"
            )

    @cached_property
    def transform(self) -> Callable[[Any], Any]:
        from torchvision.transforms import v2

        return v2.GaussianBlur(self.kernel_size, tuple(self.sigma))


@dataclass(frozen=True)
class Grayscale(Occasional):
    """Three channels, each the luma of the three (ITU-R 601-2), by torchvision."""

    channels = (3,)

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("color",)

    def changed(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        from torchvision.transforms.v2 import functional as F

        return F.rgb_to_grayscale(images, num_output_channels=3)


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
        checks.span(0, 1).check("augmentation.std", self.std)

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("noise",)

    def changed(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        std = rng.uniform(*self.std, size=(len(images), 1, 1, 1)).astype(np.float32)
        scale = torch.from_numpy(std).to(images.device, non_blocking=True) * white(images)
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
