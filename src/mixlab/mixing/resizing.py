"""Resize single pictures on a CPU as `F.interpolate` does, bilinearly, in half the time."""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixlab.mixing.row_sums import bags


def lines_of(images: Tensor) -> Tensor:
    """(R, L, W): the lines of pixels of (R, C, ..., H, W) images, in 32 bits at least."""
    lines = images.reshape(len(images), -1, images.shape[-1])
    return lines.to(torch.promote_types(images.dtype, torch.float32))


def resized(lines: Tensor, height: int, size: tuple[int, int]) -> Tensor:
    """(P, h, w): a picture of P planes, given as its lines (P * height, W), in another size.

    First between lines, whose pixels are neighbors in memory, then within them.
    """
    planes = len(lines) // height
    between = bags(lines, *lines_between(planes, height, size[0], lines.dtype))
    view = between.view(planes, size[0], lines.shape[1])
    return F.interpolate(view, size[1], mode="linear", align_corners=False)


@lru_cache(maxsize=256)  # heights of parts of a picture
def lines_between(
    planes: int, given: int, wanted: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """What `bags` takes for `wanted` lines, each of the nearest two of the `given` of its plane."""
    place = np.maximum((np.arange(wanted) + 0.5) * given / wanted - 0.5, 0)
    above = place.astype(np.int64)
    pairs = np.stack([above, np.minimum(above + 1, given - 1)], 1)
    index = torch.from_numpy(pairs + given * np.arange(planes)[:, None, None]).flatten()
    below = place - above
    weight = torch.from_numpy(np.stack([1 - below, below], 1)).to(dtype)
    return index, torch.arange(0, len(index), 2, device="cpu"), weight.repeat(planes, 1).flatten()
