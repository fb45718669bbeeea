"""Flips and crops of a whole batch at once, on the device it lies on."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

AUTO = "auto"
AUTO_PADDING = 4  # pixels, as CIFAR-10 is usually cropped


@dataclass(frozen=True)
class FlipCrop:
    """Mirror each image left to right with chance 1/2, and move it by up to `crop_padding` pixels.

    Attributes:
        flip: whether to mirror; `auto` mirrors where that keeps the label.
        crop_padding: pixels >= 0 of black border from which a window of the original size is cut;
            `auto` is 4 where cropping keeps the label, else 0.
        force: do as asked even where the data say that a label does not survive it.
    """

    flip: bool | str = True
    crop_padding: int | str = AUTO_PADDING
    force: bool = False

    def __post_init__(self) -> None:
        if self.flip not in (True, False, AUTO):
            raise ValueError(f"augmentation.flip must be true, false or auto, got {self.flip!r}")
        pixels = self.crop_padding
        if pixels != AUTO and (isinstance(pixels, bool) or not isinstance(pixels, int)):
            raise ValueError(f"augmentation.crop_padding must be pixels or auto, got {pixels!r}")
        if isinstance(pixels, int) and pixels < 0:
            raise ValueError(f"augmentation.crop_padding must be >= 0 pixels, got {pixels}")

    def allowed(self, label_preserving: Collection[str], name: str) -> "FlipCrop":
        """The same with `auto` settled by what keeps the labels of a data set.

        Args:
            label_preserving: which of `flip` and `crop` do.
            name: of the data set, for the error.

        Raises:
            ValueError: if something else is asked for without `force`.
        """
        flip = "flip" in label_preserving if self.flip == AUTO else bool(self.flip)
        pixels = AUTO_PADDING * ("crop" in label_preserving)
        pixels = pixels if self.crop_padding == AUTO else int(self.crop_padding)
        for kind, wanted in (("flip", flip), ("crop", pixels > 0)):
            if wanted and kind not in label_preserving and not self.force:
                raise ValueError(
                    f"a {kind} can change the label of an image of {name}; choose "
                    "augmentation=standard, which does only what the data allow, or insist with "
                    "augmentation.force=true"
                )
        return replace(self, flip=flip, crop_padding=pixels)

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Change (B, C, H, W) images of any dtype, black being 0; `images` is left as it is."""
        count = len(images)
        mirrored = rng.random(count) < 0.5 if self.flip else np.zeros(count, bool)
        if not self.crop_padding:
            return flip_rows(images, mirrored)
        offsets = rng.integers(0, 2 * int(self.crop_padding), (2, count), endpoint=True)
        return crop(images, mirrored, *offsets, padding=int(self.crop_padding))


def flip_rows(images: Tensor, mirrored: np.ndarray) -> Tensor:
    """Mirror the rows for which bool (B,) `mirrored` is set."""
    rows = torch.from_numpy(np.flatnonzero(mirrored)).to(images.device)
    return images.index_copy(0, rows, images.index_select(0, rows).flip(-1))


def crop(
    images: Tensor, mirrored: np.ndarray, top: np.ndarray, left: np.ndarray, *, padding: int
) -> Tensor:
    """Cut the window at `top`, `left` (B,) out of each padded image, then mirror some.

    One gather for the whole batch: of each output pixel, the place in the padded image.
    """
    mirror, down, right = (torch.from_numpy(x).to(images.device) for x in (mirrored, top, left))
    channels, height, width = images.shape[1:]
    rows = down[:, None] + torch.arange(height, device=images.device)
    columns = right[:, None] + torch.arange(width, device=images.device)
    columns = torch.where(mirror[:, None], columns.flip(1), columns)
    places = rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]
    padded = F.pad(images, [padding] * 4).flatten(2)
    index = places.view(len(images), 1, -1).expand(-1, channels, -1)
    return padded.gather(2, index).view(images.shape)
