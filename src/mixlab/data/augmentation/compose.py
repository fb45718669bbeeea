"""OneOf and Sequence: several augmentations, one for each image, or all in turn."""

from collections import abc
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.data.augmentation.augmentation import Augmentation
from mixlab.data.spec import ImageSpec


@dataclass(frozen=True)
class Several(Augmentation):
    """An augmentation made of others. It takes images one by one if one of them does.

    Attributes:
        augmentations: at least one; `force` here forces all of them.
    """

    augmentations: abc.Sequence[Augmentation]

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = checks.instances("kinds", "augmentations")
        kind.check("augmentation.augmentations", self.augmentations)

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kind for each in self.augmentations for kind in each.kinds))

    @property
    def per_image(self) -> bool:
        return any(each.per_image for each in self.augmentations)

    @property
    def serves_masks(self) -> bool:
        return all(each.serves_masks for each in self.augmentations)

    def allowed(self, label_preserving: Collection[str], name: str) -> Self:
        """See `Augmentation`; applied to each."""
        each = [replace(one, force=one.force or self.force) for one in self.augmentations]
        return replace(self, augmentations=[one.allowed(label_preserving, name) for one in each])

    def check_spec(self, spec: ImageSpec, name: str) -> None:
        for each in self.augmentations:
            each.check_spec(spec, name)


@dataclass(frozen=True)
class OneOf(Several):
    """Chooses one for each image.

    Attributes:
        weights: one number >= 0 for each, not all 0, not necessarily summing to one; None weighs
            all the same.
    """

    weights: abc.Sequence[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = checks.weights(len(self.augmentations)).but("null weighs all the same")
        weights.check("augmentation.weights", self.weights)

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """See `Augmentation`."""
        result = images.clone()
        for each, rows in self.dealt(images, rng):
            result.index_copy_(0, rows, each(images.index_select(0, rows), rng))
        return result

    def with_masks(
        self, images: Tensor, masks: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """See `Augmentation`."""
        results = images.clone(), masks.clone()
        for each, rows in self.dealt(images, rng):
            theirs = each.with_masks(images.index_select(0, rows), masks.index_select(0, rows), rng)
            for result, part in zip(results, theirs, strict=True):
                result.index_copy_(0, rows, part)
        return results

    def dealt(
        self, images: Tensor, rng: np.random.Generator
    ) -> Iterator[tuple[Augmentation, Tensor]]:
        """Each augmentation with its rows, int64 on the images' device."""
        weights = np.array(self.weights or [1.0] * len(self.augmentations))
        choice = rng.choice(len(weights), size=len(images), p=weights / weights.sum())
        for number in np.unique(choice).tolist():
            rows = torch.from_numpy(np.flatnonzero(choice == number))
            yield self.augmentations[number], rows.to(images.device, non_blocking=True)


@dataclass(frozen=True)
class Sequence(Several):
    """Applies all of them to each image, in order."""

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """See `Augmentation`."""
        return reduce(lambda changed, each: each(changed, rng), self.augmentations, images)

    def with_masks(
        self, images: Tensor, masks: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """See `Augmentation`."""
        for each in self.augmentations:
            images, masks = each.with_masks(images, masks, rng)
        return images, masks
