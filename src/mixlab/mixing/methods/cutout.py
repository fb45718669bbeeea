"""Cutout: a square of the row is erased to zero, the label stays."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.boxes import Boxes, clipped_boxes
from mixlab.mixing.methods.method import picture_size


@dataclass(frozen=True)
class Cutout:
    """Erases from (R, C, H, W) images; zero is their mean where they are normalized, else black.

    Paper: DeVries & Taylor, Improved Regularization of Convolutional Neural Networks with Cutout,
        2017, https://arxiv.org/abs/1708.04552.
    Draws: a square of side_fraction of the picture's shorter side around a uniform pixel, clipped
        at the border, is set to zero.
    Label: the row's own, whole.
    Published: 2.56 % test error on CIFAR-10 with Shake-Shake 26 2x96d; 2.86 % without.
    Avoid: where what decides is small: the square may erase all of it.

    Attributes:
        side_fraction: in (0, 1], side of the square as a fraction of the picture's shorter side,
            rounded down to an even number of pixels; the paper's 16 of CIFAR-10's 32 are 0.5.
        per_row: draw a square for each row, as in the paper, or one for the batch.
    """

    side_fraction: float
    per_row: bool = True

    num_partners = 1  # unused, but so that it shares the preceding draws with other methods
    label_differs = "cutout erases part of a row and keeps its whole label"

    def __post_init__(self) -> None:
        remedy = "0.5 is the paper's for CIFAR-10; probability=0 erases nothing"
        fraction = checks.ABOVE_0.but(remedy)
        checks.check_fields(self, side_fraction=fraction, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises ValueError for images without height and width."""
        height, width = picture_size(images, "Cutout")
        num_rows = images.shape[0] if partners is None else len(partners)
        num_boxes = num_rows if self.per_row else 1
        side = np.full((1, 1), self.side_fraction * min(height, width))
        edges = clipped_boxes(side, num_boxes, np.array([height, width]), rng)
        own = torch.ones(1, 1, device="cpu")
        boxes, rows = Boxes(edges, own, height, width), torch.arange(num_rows, device="cpu")
        return Blend(rows[:, None], boxes, share=own)
