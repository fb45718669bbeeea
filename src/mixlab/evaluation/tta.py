"""Test-time augmentation: several views of every test image, the image itself first, that vote."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from math import cos, pi, sin
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlab.checks import FLAG, VOTE, check_fields, whole
from mixlab.data.augmentation.flip_crop import AUTO_PADDING
from mixlab.data.global_rng import private_generators, set_generators
from mixlab.errors import UserError
from mixlab.mixing import Address, Purpose, torch_seed


@dataclass(frozen=True)
class Views(ABC):
    """The settings of every kind of view; the classes below define the views.

    Attributes:
        views: >= 1, of each image, itself among them.
        vote: `mean` of the views' softmax probabilities, or `majority` of their classes.
        force: allow views that can change a label of this data set.
    """

    views: int
    vote: str = "mean"
    force: bool = False

    changes: ClassVar[str | None] = None  # `flip` or `crop`, which the data may refuse

    def __post_init__(self) -> None:
        views = whole(1).but("1 is the image alone")
        check_fields(self, "tta.", views=views, vote=VOTE, force=FLAG)

    def check(self, label_preserving: Collection[str], name: str) -> None:
        """Raise ValueError if a view may change a label of the data set called `name`."""
        if self.changes and self.changes not in label_preserving and not self.force:
            raise UserError(
                f"a {self.changes} can change the label of an image of {name}; choose another tta, "
                "or insist with tta.force=true"
            )

    @property
    def words(self) -> str:
        """As in `tta=crops views=9 padding=1`: what is not a default of the class."""
        knobs = [
            f"{knob.name}={getattr(self, knob.name)}"
            for knob in fields(self)
            if knob.name != "force" and getattr(self, knob.name) != knob.default
        ]
        return " ".join([f"tta={type(self).__name__.lower()}", *knobs])

    def of(self, images: Tensor, index: Tensor) -> Iterator[Tensor]:
        """Yield the views of the whole batch one by one, each (B, C, H, W) like `images`.

        `images` are uint8, or float in [0, 1], not yet normalized. `index` (B,) holds their rows in
        the data set, so that random views do not depend on the batch size.
        """
        yield images
        for number in range(1, self.views):
            yield self.view(images, index, number)

    @abstractmethod
    def view(self, images: Tensor, index: Tensor, number: int) -> Tensor:
        """View `number` >= 1 of each image."""


@dataclass(frozen=True)
class Flip(Views):
    """The image and its mirror image."""

    views: int = 2

    changes: ClassVar[str | None] = "flip"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.views != 2:
            raise UserError(
                f"tta.views must be 2 with tta=flip, the image and its mirror, got {self.views}"
            )

    def view(self, images: Tensor, index: Tensor, number: int) -> Tensor:
        return images.flip(-1)


@dataclass(frozen=True)
class Crops(Views):
    """The image, and crops of it with a black border, shifted by `padding` pixels.

    Attributes:
        padding: pixels > 0.
    """

    padding: int = AUTO_PADDING

    changes: ClassVar[str | None] = "crop"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, "tta.", padding=whole(1))
        if len({self.shift(number) for number in range(1, self.views)}) < self.views - 1:
            raise UserError(
                f"tta.views={self.views} is more than there are shifts by {self.padding} pixels; "
                "take fewer views or a larger tta.padding"
            )

    def shift(self, number: int) -> tuple[int, int]:
        """Pixels down and right; the directions of the views are even, the first to the right."""
        angle = 2 * pi * (number - 1) / (self.views - 1)
        return round(self.padding * sin(angle)), round(self.padding * cos(angle))

    def view(self, images: Tensor, index: Tensor, number: int) -> Tensor:
        down, right = self.shift(number)
        return F.pad(images, [right, -right, down, -down])


@dataclass(frozen=True)
class RandAugment(Views):
    """The image, and torchvision's RandAugment of it (https://arxiv.org/abs/1909.13719).

    Each image is changed on its own device with numbers drawn for its row and view, in 0.2 ms per
    view on a CPU. Not suited to images that their data set has already normalized.

    Attributes:
        num_ops: >= 1, operations on each image.
        magnitude: in [0, 30], their strength.
    """

    num_ops: int = 2
    magnitude: int = 9

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, "tta.", num_ops=whole(1), magnitude=whole(0, 30))

    def view(self, images: Tensor, index: Tensor, number: int) -> Tensor:
        from torchvision.transforms import v2

        augment = v2.RandAugment(self.num_ops, self.magnitude)
        with private_generators():
            rows = zip(images, index.tolist(), strict=True)
            changed = []
            for image, row in rows:
                set_generators(torch_seed(Address(0, 0, number, row), Purpose.TRANSFORM))
                changed.append(augment(image))
            return torch.stack(changed)
