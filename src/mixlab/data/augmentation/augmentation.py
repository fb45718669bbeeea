"""What all augmentations share: which data they suit, and how often they act."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.data.spec import ImageSpec
from mixlab.errors import UserError

# What a data set's `label_preserving` may list: mirrored left to right; moved or cut at the border;
# turned or sheared by any angle; other colors, brightness or contrast; blurred; noise added; a
# part hidden.
KINDS = ("flip", "crop", "rotate", "color", "blur", "noise", "erase")


@dataclass(frozen=True)
class Augmentation(ABC):
    """Changes images and leaves their labels. A pure function of the images and of `rng`.

    Attributes:
        force: act even if the data do not list its kinds as keeping the label.
    """

    force: bool = field(default=False, kw_only=True)

    channels: ClassVar[tuple[int, ...] | None] = (
        None  # number of channels that it takes; None for any
    )

    def __post_init__(self) -> None:
        checks.FLAG.check("augmentation.force", self.force)

    @property
    @abstractmethod
    def kinds(self) -> tuple[str, ...]:
        """Those of `KINDS` that must keep the labels of the data."""

    @property
    def per_image(self) -> bool:
        """Whether it takes images one by one, best in the workers that read them; otherwise it
        takes whole batches, on their device."""
        return False

    def allowed(self, label_preserving: Collection[str], name: str) -> Self:
        """The augmentation, adapted to a data set.

        Args:
            label_preserving: which of `KINDS` keep its labels.
            name: of the data set, for the error.

        Raises:
            ValueError: it needs another kind, without `force`.
        """
        for kind in () if self.force else self.kinds:
            if kind not in label_preserving:
                raise UserError(
                    f"{type(self).__name__} needs the kind {kind}, which may change the label of "
                    f"an image of {name}: data.label_preserving does not list it; choose another, "
                    "as augmentation=standard, or insist with augmentation.force=true"
                )
        return self

    def check_spec(self, spec: ImageSpec, name: str) -> None:
        """Raise ValueError if it cannot take images of this shape, those of `name`."""
        if self.channels is not None and spec.channels not in self.channels:
            raise UserError(
                f"{type(self).__name__} needs images of {' or '.join(map(str, self.channels))} "
                f"channels, those of {name} have {spec.channels}; choose one that takes any, "
                "such as augmentation=cutout"
            )

    @property
    def moves(self) -> bool:
        """Whether pixels move, so that segmentation masks have to move with them."""
        return bool({"flip", "crop", "rotate"} & {*self.kinds})

    @property
    def serves_masks(self) -> bool:
        """Whether `with_masks` moves segmentation masks with the pixels."""
        return not self.moves

    def with_masks(
        self, images: Tensor, masks: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """The same for images (B, C, H, W) with uint8 masks (B, H, W), if it `serves_masks`.

        Masks move with the pixels, with class 0 beyond the border. Changes of color and hidden
        parts leave the mask unchanged, so the network has to predict what is there.
        """
        return self(images, rng), masks

    @abstractmethod
    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Changed copies of (B, C, H, W) images, uint8 or float in [0, 1]; dtype and shape stay.

        One by one where `per_image` (then uint8 only); `images` is left as it is.
        """


@dataclass(frozen=True)
class Occasional(Augmentation):
    """Changes each image with a probability.

    Attributes:
        probability: in [0, 1], of changing an image.
    """

    probability: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number(0, 1).check("augmentation.probability", self.probability)

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """See `Augmentation`."""
        chosen = rng.random(len(images)) < self.probability
        if chosen.all():
            return self.changed(images, rng)
        rows = torch.from_numpy(np.flatnonzero(chosen)).to(images.device, non_blocking=True)
        if len(rows) == 0:
            return images
        return images.index_copy(0, rows, self.changed(images.index_select(0, rows), rng))

    @abstractmethod
    def changed(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """All of one or more images, changed."""


def check_serves_masks(augmentation: Augmentation) -> None:
    """Raise ValueError if it moves pixels but cannot move segmentation masks with them."""
    if not augmentation.serves_masks:
        raise UserError(
            f"{type(augmentation).__name__} moves pixels and cannot move segmentation masks with "
            "them; choose another, such as augmentation=flip_crop, rotation or trivialaugment"
        )


def check_kinds(label_preserving: Any) -> None:
    """Raise ValueError unless it is a list of kinds."""
    for kind in label_preserving if checks.is_list(label_preserving) else [label_preserving]:
        if kind not in KINDS:
            raise UserError(
                f"data.label_preserving may list {', '.join(KINDS)}, but it has {kind!r}"
            )


def white(images: Tensor) -> int:
    """The value of a white pixel: 255 in uint8, 1 in float."""
    return 255 if images.dtype == torch.uint8 else 1


def gray(images: Tensor) -> float:
    """The value of a pixel half as bright."""
    return 128 if images.dtype == torch.uint8 else 0.5
