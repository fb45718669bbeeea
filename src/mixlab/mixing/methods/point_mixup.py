"""PointMixup: mixup of point clouds along the shortest way from one to the other."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.errors import UserError
from mixlab.mixing.blend import Blend
from mixlab.mixing.matched import MatchedBlend, best_order
from mixlab.mixing.methods.method import own_shares
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class PointMixup:
    """Mixes (R, C, N) clouds of N points with C coordinates; their order has no meaning.

    On one thread of a CPU a row of 64 points took 0.2 ms, one of 1,024 points 89 ms. Needs scipy.

    Paper: Chen et al., PointMixup: Augmentation for Point Clouds, 2020,
        https://arxiv.org/abs/2008.06374.
    Draws: lam ~ Beta(alpha, alpha); the points of two clouds are matched by the assignment phi of
        the earth mover's distance, and each moves on a line toward its match: u_i = lam * x_i + (1
        - lam) * x'_phi(i).
    Label: y~ = lam * y + (1 - lam) * y'.
    Avoid: with signals, whose order has a meaning; with many points, as its time grows with their
        cube.
    Differs: the authors' code approximates the assignment. Where clouds are rotated at random it is
        that of clouds turned alike, and alpha is 0.4; else alpha is 1.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the own share is drawn.
        per_row: draw a share for each row, or one for the batch.
    """

    alpha: float
    per_row: bool = True

    num_partners = 1
    label_differs = None
    mean_mixed = 0.5  # of Beta(alpha, alpha); to measure it would take minutes with many points

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("1.0 is uniform; probability=0 mixes nothing")
        checks.check_fields(self, alpha=alpha, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for rows that are no clouds."""
        if images.ndim != 3:
            shape = tuple(images.shape)
            raise UserError(
                f"PointMixup needs rows x coordinates x points, got {shape}; use Mixup "
                "(mixing=mixup)"
            )
        partner = partner_columns(partners, images, rng)[:, 0]
        own = own_shares(self.alpha, rng, len(partner) if self.per_row else 1)
        mask = torch.from_numpy(np.stack([own, 1 - own], axis=1).astype(np.float32))
        order = best_order(images[: len(partner)], images[torch.from_numpy(partner)])
        pair = Blend.pair(partner, mask)
        return MatchedBlend(pair.source, mask, pair.share, order=order)
