"""Transforms of libraries, which take one image and use the global generators."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mixlab.data.augmentation.augmentation import Occasional
from mixlab.data.global_rng import set_generators

BORDER_FILLS = {"black": 0, "gray": 128}  # what comes into view at the border, in uint8


@dataclass(frozen=True)
class Library(Occasional):
    """A library's transform, made once, of uint8 tensors (C, H, W) of 1 or 3 channels.

    The global generators are seeded from `rng` before each image. They are not restored; the caller
    does that once for many images.
    """

    channels = (1, 3)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check()
        _ = self.transform  # made here, not once in each worker

    @property
    def per_image(self) -> bool:
        return True

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError for a knob out of range."""

    @cached_property
    @abstractmethod
    def transform(self) -> Callable[[Any], Any]:
        """The library's transform."""

    def changed(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        rows = []
        for image in images:
            set_generators(int(rng.integers(2**63)))
            rows.append(self.one(image))
        return torch.stack(rows)

    def one(self, image: Tensor) -> Tensor:
        """One image, changed."""
        return self.transform(image)


@dataclass(frozen=True)
class PilLibrary(Library):
    """A transform of PIL images: the only ones timm takes, and turned several times faster.

    Gray images go through it as three equal channels, since some transforms need them.
    """

    def one(self, image: Tensor) -> Tensor:
        color = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
        changed = np.array(self.transform(Image.fromarray(color)))
        return torch.from_numpy(changed).permute(2, 0, 1)[: len(image)].contiguous()

    @cached_property
    def mask_transform(self) -> Callable[[Any], Any] | None:
        """`transform` for masks, PIL images of class numbers: the same draws and moves, by nearest
        neighbors, with class 0 beyond the border. None if there is none."""
        return None

    @property
    def serves_masks(self) -> bool:
        return not self.moves or self.mask_transform is not None

    def with_masks(
        self, images: Tensor, masks: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """See `Augmentation`; both are changed from the same state of the global generators."""
        if self.mask_transform is None:
            return super().with_masks(images, masks, rng)
        images, masks = images.clone(), masks.clone()
        for row in np.flatnonzero(rng.random(len(images)) < self.probability).tolist():
            seed = int(rng.integers(2**63))
            set_generators(seed)
            images[row] = self.one(images[row])
            set_generators(seed)
            moved = self.mask_transform(Image.fromarray(masks[row].numpy()))
            masks[row] = torch.from_numpy(np.array(moved))
        return images, masks
