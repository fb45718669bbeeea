"""Grayscale: colour is taken away, the number of channels stays."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixlab.data.augmentation.augmentation import Occasional
from mixlab.data.spec import ImageSpec


@dataclass(frozen=True)
class Grayscale(Occasional):
    """Three channels, each the luma of the three (ITU-R 601-2), by torchvision."""

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("colour",)

    def check_spec(self, spec: ImageSpec, name: str) -> None:
        if spec.channels != 3:
            raise ValueError(
                f"Grayscale needs images of 3 channels, those of {name} have {spec.channels}; "
                "choose another augmentation"
            )

    def changed(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        from torchvision.transforms.v2 import functional as F

        return F.rgb_to_grayscale(images, num_output_channels=3)
