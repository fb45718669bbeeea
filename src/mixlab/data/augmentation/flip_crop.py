"""Flips and crops of a whole batch at once, on its device."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mixlab import checks
from mixlab.data.augmentation.augmentation import Augmentation
from mixlab.errors import UserError

AUTO = "auto"
AUTO_PADDING = 4  # pixels, as CIFAR-10 is usually cropped
MAX_PADDING = 4096


@dataclass(frozen=True)
class FlipCrop(Augmentation):
    """Mirror each image left to right with probability 1/2; move it by up to `crop_padding` pixels.

    Attributes:
        flip: whether to mirror; `auto` mirrors where that keeps the label.
        crop_padding: pixels >= 0 of black border from which a window of the original size is cut;
            `auto` is 4 where cropping keeps the label, else 0.
    """

    flip: bool | str = True
    crop_padding: int | str = AUTO_PADDING

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.flip not in (True, False, AUTO):
            raise UserError(f"augmentation.flip must be true, false or auto, got {self.flip!r}")
        if self.crop_padding != AUTO:
            checks.whole(0, MAX_PADDING).check("augmentation.crop_padding", self.crop_padding)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds it certainly uses; `auto` needs none."""
        flip = () if self.flip in (False, AUTO) else ("flip",)
        crop = () if self.crop_padding in (0, AUTO) else ("crop",)
        return flip + crop

    def allowed(self, label_preserving: Collection[str], name: str) -> Self:
        """The same with `auto` replaced by what keeps the labels of a data set."""
        flip, padding = self.flip, self.crop_padding
        if flip == AUTO:
            flip = "flip" in label_preserving
        if padding == AUTO:
            padding = AUTO_PADDING if "crop" in label_preserving else 0
        settled = replace(self, flip=flip, crop_padding=padding)
        return super(FlipCrop, settled).allowed(label_preserving, name)

    @property
    def serves_masks(self) -> bool:
        return True

    def with_masks(
        self, images: Tensor, masks: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """See `Augmentation`; the mask is an extra channel, with class 0 beyond the border."""
        both = self(torch.cat([images, masks[:, None].to(images.dtype)], dim=1), rng)
        return both[:, :-1], both[:, -1].to(masks.dtype)

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """See `Augmentation`; takes any dtype, in which 0 is black."""
        count = len(images)
        mirrored = rng.random(count) < 0.5 if self.flip else np.zeros(count, bool)
        if not self.crop_padding:
            return flip_rows(images, mirrored)
        offsets = rng.integers(0, 2 * int(self.crop_padding), (2, count), endpoint=True)
        return crop(images, mirrored, *offsets, padding=int(self.crop_padding))


def flip_rows(images: Tensor, mirrored: np.ndarray) -> Tensor:
    """Mirror the rows for which bool (B,) `mirrored` is set."""
    rows = torch.from_numpy(np.flatnonzero(mirrored)).to(images.device, non_blocking=True)
    return images.index_copy(0, rows, images.index_select(0, rows).flip(-1))


def crop(
    images: Tensor, mirrored: np.ndarray, top: np.ndarray, left: np.ndarray, *, padding: int
) -> Tensor:
    """Cut the window at `top`, `left` (B,) out of each padded image, then mirror some.

    One gather for the whole batch: of each output pixel, the place in the padded image.
    """
    mirror, down, right = (
        torch.from_numpy(drawn).to(images.device, non_blocking=True)
        for drawn in (mirrored, top, left)
    )
    channels, height, width = images.shape[1:]
    rows = down[:, None] + torch.arange(height, device=images.device)
    columns = right[:, None] + torch.arange(width, device=images.device)
    columns = torch.where(mirror[:, None], columns.flip(1), columns)
    places = rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]
    padded = F.pad(images, [padding] * 4).flatten(2)
    index = places.view(len(images), 1, -1).expand(-1, channels, -1)
    return padded.gather(2, index).view(images.shape)
