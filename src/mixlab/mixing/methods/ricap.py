"""RICAP: random crops of four rows, patched together around a random point."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.collage import collage, with_partners
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partners import partner_columns
from mixlab.mixing.tiles import quadrants
from mixlab.mixing.views import moved_by


@dataclass(frozen=True)
class Ricap:
    """Mixes (R, C, H, W) images of any aspect ratio; the row itself is at the top left.

    Paper: Takahashi et al., Data Augmentation using Random Image Cropping and Patching for Deep
        CNNs, 2018, https://arxiv.org/abs/1811.09030.
    Draws: both coordinates of a point ~ Beta(alpha, alpha) of the picture's sides, rounded; each
        quadrant is a uniform crop of its size from a row of its own.
    Label: the weights are the areas of the quadrants.
    Avoid: where the object fills the picture, or is small: a crop shows a part of it, or none.
    Published: 2.85 % test error on CIFAR-10 with WRN-28-10; 3.89 % without, 3.02 % with mixup. At
        best 2.19 %, with shake-shake regularization.

    Attributes:
        alpha: > 0, the paper's beta: each coordinate of the point is Beta(alpha, alpha); 0.3 in the
            paper.
        per_row: draw point and crops for each row, or once for the batch as in the authors' code.
    """

    alpha: float
    per_row: bool = True

    num_partners = 3
    label_differs = None

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("0.3 is the paper's; probability=0 mixes nothing")
        checks.check_fields(self, alpha=alpha, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for images without height and width."""
        size = picture_size(images, "RICAP")
        rows = with_partners(partner_columns(partners, images, rng, self.num_partners))
        num_draws = len(rows) if self.per_row else 1
        point = own_shares(self.alpha, rng, 2 * num_draws).reshape(2, num_draws)
        point = np.rint(point * np.array(size)[:, None]).astype(np.int64)
        edges = quadrants(point, *size)
        low, high = edges[..., 0::2], edges[..., 1::2]
        room = np.array(size) - (high - low)  # what a crop leaves of the picture
        start = (rng.random(room.shape) * (room + 1)).astype(np.int64)
        return collage(rows, edges, moved_by(start - low, *size), *size)
