"""Grayscale: colour is taken away, the number of channels stays."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixlab.data.augmentation.augmentation import Occasional


@dataclass(frozen=True)
class Grayscale(Occasional):
    """Three channels, each the luma of the three (ITU-R 601-2), by torchvision."""

    channels = (3,)

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("colour",)

    def changed(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        from torchvision.transforms.v2 import functional as F

        return F.rgb_to_grayscale(images, num_output_channels=3)
