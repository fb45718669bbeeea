"""Concat: the upper part of the row and the lower part of its partner, or left and right."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.boxes import Boxes
from mixlab.mixing.masks import OWN_OF_TWO
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class Concat:
    """Mixes (R, C, H, W) images of any aspect ratio.

    Paper: Summers & Dinneen, Improved Mixed-Example Data Augmentation, 2018,
        https://arxiv.org/abs/1805.11272, "vertical concat" and "horizontal concat". The cut is at a
        uniform line there, so alpha is 1.
    Draws: lam ~ Beta(alpha, alpha); the first round(lam * lines) lines are the row's, the others
        its partner's.
    Label: the row's weight is its part of the lines.
    Avoid: where the place decides: a row is never seen below its partner.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the own share is drawn, rounded to lines.
        side_by_side: the partner on the right (horizontal concat) instead of below (vertical).
        per_row: draw a cut for each row, or one for the batch.
    """

    alpha: float
    side_by_side: bool = False
    per_row: bool = True

    num_partners = 1
    label_differs = None

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("1.0 is the paper's; probability=0 mixes nothing")
        checks.check_fields(self, alpha=alpha, side_by_side=checks.FLAG, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for images without height and width."""
        size = picture_size(images, "Concat")
        partner = partner_columns(partners, images, rng)[:, 0]
        own = own_shares(self.alpha, rng, len(partner) if self.per_row else 1)
        axis = int(self.side_by_side)
        edges = np.tile([0, size[0], 0, size[1]], (len(own), 1))
        edges[:, 2 * axis] = np.rint(own * size[axis])
        return Blend.pair(partner, Boxes(torch.from_numpy(edges), OWN_OF_TWO, *size))
