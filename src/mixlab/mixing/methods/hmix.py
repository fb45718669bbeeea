"""HMix: CutMix's box of the partner, in a picture that is mixup's of both rows."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.boxes import Boxes, clipped_boxes
from mixlab.mixing.masks import pair_of_shares
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class HMix:
    """Mixes (R, C, H, W) images of any aspect ratio.

    Paper: Park et al., A Unified Analysis of Mixed Sample Data Augmentation: A Loss Function
        Perspective, 2022, https://arxiv.org/abs/2208.09913.
    Draws: lam ~ Beta(alpha, alpha); the partner's is a box of the fraction ratio * (1 - lam) of the
        picture around a uniform pixel, clipped at the border; outside, the row has the share lam /
        (1 - the box's area).
    Label: the row's weight is lam, however much the border cuts off.
    Avoid: where a row should be seen unmixed: outside of the box both are mixed.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the own share is drawn; it is that of the
            label, however much of the box the border cuts off.
        ratio: in [0, 1], of the box to the partner's share: 0 is mixup, 1 CutMix where the border
            cuts nothing off; 0.5 in the paper.
        per_row: draw a box for each row, or one for the batch as in the authors' code.
    """

    alpha: float
    ratio: float = 0.5
    per_row: bool = True

    num_partners = 1
    label_differs = None

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("1.0 is usual; probability=0 mixes nothing")
        ratio = checks.FRACTION.but("0 is mixup, 1 CutMix")
        checks.check_fields(self, alpha=alpha, ratio=ratio, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for images without height and width."""
        size = np.array(picture_size(images, "HMix"))
        partner = partner_columns(partners, images, rng)[:, 0]
        own = own_shares(self.alpha, rng, len(partner) if self.per_row else 1)
        sides = np.sqrt(self.ratio * (1 - own))[:, None] * size
        edges = clipped_boxes(sides, len(own), size, rng)
        top, bottom, left, right = edges.numpy().T
        uncovered = 1 - (bottom - top) * (right - left) / size.prod()
        outside = own / np.maximum(uncovered, own).clip(1e-12)
        boxes = Boxes(edges, pair_of_shares(1 - outside), *images.shape[-2:])
        return Blend.pair(partner, boxes)
