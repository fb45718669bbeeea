"""GridMask: a turned grid of squares is hidden.

Chen et al., GridMask Data Augmentation, 2020, https://arxiv.org/abs/2001.04086, with the ranges of
KerasCV: cells of 0.3 to 0.5 of the image, of which up to half a side is hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import tau

import numpy as np
import torch
from torch import Tensor

from mixlab.data.augmentation import checks
from mixlab.data.augmentation.erase import Erasing


@dataclass(frozen=True)
class GridMask(Erasing):
    """Hides a square in each cell of a grid, whose cell, square, place and turn are drawn anew.

    Attributes:
        cell: [lowest, highest] in [0.01, 2], side of a cell as a fraction of the shorter side.
        ratio: [lowest, highest] in [0, 1], side of the hidden square as a fraction of the cell's.
        turn: in [0, 0.5], the most that the grid is turned either way, in full turns.
    """

    cell: Sequence[float] = (0.3, 0.5)
    ratio: Sequence[float] = (0.0, 0.5)
    turn: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.span("cell", self.cell, 0.01, 2)
        checks.span("ratio", self.ratio, 0, 1)
        checks.number("turn", self.turn, 0, 0.5)

    def changed(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        count, (height, width) = len(images), images.shape[-2:]
        cell = rng.uniform(*self.cell, size=count) * min(height, width)
        ratio = rng.uniform(*self.ratio, size=count)
        angle = rng.uniform(-tau * self.turn, tau * self.turn, size=count)
        shift = rng.random((2, count))
        drawn = np.stack([np.cos(angle) / cell, np.sin(angle) / cell, *shift, ratio])
        hidden = grid(torch.from_numpy(drawn.astype(np.float32)).to(images.device), height, width)
        return self.filled(images, hidden, rng)


def grid(drawn: Tensor, height: int, width: int) -> Tensor:
    """bool (B, 1, H, W): the hidden squares.

    Args:
        drawn: float32 (5, B), on the device of the images: cosine and sine of the turn, both
            divided by the cell's side in pixels; shift to the right and down, in cells; ratio.
        height, width: in pixels.
    """
    cosine, sine, right, down, ratio = drawn[:, :, None, None]
    y = torch.arange(height, device=drawn.device)[:, None] - (height - 1) / 2
    x = torch.arange(width, device=drawn.device) - (width - 1) / 2
    across = (cosine * x - sine * y + right).remainder(1) < ratio
    return (across & ((sine * x + cosine * y + down).remainder(1) < ratio))[:, None]
