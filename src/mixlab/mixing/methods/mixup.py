"""mixup: a convex combination of two rows and of their labels."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.methods.method import own_shares
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class Mixup:
    """Mixes rows of any rank: images, signals, tables, point clouds.

    Paper: Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018,
        https://arxiv.org/abs/1710.09412.
    Draws: lam ~ Beta(alpha, alpha); x~ = lam * x + (1 - lam) * x'.
    Label: y~ = lam * y + (1 - lam) * y'.
    Published: 4.24 % test error on CIFAR-10 with PreAct ResNet-18, alpha 1 and weight decay 1e-4,
        by the first author's code; 5.53 % without.
    Avoid: where the mean of two rows is no row that could be: numbers that stand for categories,
        points in any order (see PointMixup). With a small alpha most rows are hardly mixed.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the own share is drawn.
        per_row: draw a share for each row, or one for the batch as in the paper's code.
    """

    alpha: float
    per_row: bool = True

    num_partners = 1
    label_differs = None
    usual_alpha = "0.2 is usual"
    mean_mixed = 0.5  # of Beta(alpha, alpha), whatever alpha is

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but(f"{self.usual_alpha}; probability=0 mixes nothing")
        checks.check_fields(self, alpha=alpha, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`."""
        partner = partner_columns(partners, images, rng)[:, 0]
        own = own_shares(self.alpha, rng, len(partner) if self.per_row else 1)
        mask = np.empty((len(own), 2), dtype=np.float32)
        mask[:, 0], mask[:, 1] = own, 1 - own
        return Blend.pair(partner, torch.from_numpy(mask))
