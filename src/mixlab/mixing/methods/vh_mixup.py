"""VH-mixup: mixup of a vertical and a horizontal concatenation of the same two rows."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.masks import pair_of_shares, sent_to
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partner_mask import PartnerMask
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class VHMixup:
    """Mixes (R, C, H, W) images of any aspect ratio.

    Paper: Summers & Dinneen, Improved Mixed-Example Data Augmentation, 2018,
        https://arxiv.org/abs/1805.11272. All three numbers are uniform there, so alpha is 1.
    Draws: a, b, s ~ Beta(alpha, alpha); the partner has the weight s below the part a of the
        height, plus 1 - s right of the part b of the width: the top left is all the row's, the
        bottom right all the partner's.
    Label: the mean of the mask: the partner's weight is s * (1 - a) + (1 - s) * (1 - b).
    Avoid: where the place decides: the top left is always the row's.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which three numbers are drawn: the row's part of the
            height, of the width, both rounded to pixels, and the share of the former cut.
        per_row: draw them for each row, or once for the batch.
    """

    alpha: float
    per_row: bool = True

    num_partners = 1
    label_differs = None

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("1.0 is the paper's; probability=0 mixes nothing")
        checks.check_fields(self, alpha=alpha, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for images without height and width."""
        size = picture_size(images, "VH-mixup")
        partner = partner_columns(partners, images, rng)[:, 0]
        num_draws = len(partner) if self.per_row else 1
        *cuts, share = own_shares(self.alpha, rng, 3 * num_draws).reshape(3, num_draws)
        # what the partner has of each line of pixels, below and to the right of the cuts
        lines = [
            weight[:, None] * (np.arange(side) >= np.rint(cut * side)[:, None])
            for side, cut, weight in zip(size, cuts, (share, 1 - share), strict=True)
        ]
        of_y, of_x = (sent_to(torch.from_numpy(each).float(), images.device) for each in lines)
        mask = of_y[:, :, None] + of_x[:, None]
        mean = lines[0].mean(1) + lines[1].mean(1)
        return Blend.pair(partner, PartnerMask(mask), pair_of_shares(mean))
