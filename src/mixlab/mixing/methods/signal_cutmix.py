"""SignalCutMix: CutMix along one axis. A span of the partner replaces that of the row.

In two dimensions a side is sqrt(1 - lam), in one it is 1 - lam.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixlab import checks
from mixlab.errors import UserError
from mixlab.mixing.blend import Blend
from mixlab.mixing.boxes import Boxes, clipped_boxes
from mixlab.mixing.masks import OWN_OF_TWO
from mixlab.mixing.methods.method import own_shares
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class SignalCutMix:
    """Mixes (R, C, L) signals; of (R, C, H, W) images, whole columns of pixels.

    Paper: Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
        Features, 2019, https://arxiv.org/abs/1905.04899, in one dimension.
    Draws: lam ~ Beta(alpha, alpha); the partner's is a span of 1 - lam of the length around a
        uniform sample, clipped at the ends, in all channels.
    Label: the partner's weight is what clipping leaves of the span.
    Avoid: where a class is a short event, which a span may miss; with points in any order.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the own share *before clipping* is drawn.
        per_row: draw a span for each row, or one for the batch.
    """

    alpha: float
    per_row: bool = True

    num_partners = 1
    label_differs = None

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("1.0 is usual; probability=0 mixes nothing")
        checks.check_fields(self, alpha=alpha, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for rows without channels and length."""
        if images.ndim < 3:
            shape = tuple(images.shape)
            raise UserError(
                f"SignalCutMix needs rows x channels x length, got {shape}; use Mixup "
                "(mixing=mixup), as the features of a table have no order to cut along"
            )
        partner = partner_columns(partners, images, rng)[:, 0]
        return Blend.pair(partner, self.spans(images, rng, len(partner)))

    def spans(self, images: Tensor, rng: np.random.Generator, num_rows: int) -> Boxes:
        """The spans, as boxes over all channels (all lines of an image)."""
        lines, length = images.shape[-2:]
        num_spans = num_rows if self.per_row else 1
        span = (1 - own_shares(self.alpha, rng, num_spans)) * length
        sides = np.stack([np.zeros(num_spans), span], axis=1)
        edges = clipped_boxes(sides, num_spans, np.array([lines, length]), rng)
        edges[:, 0], edges[:, 1] = 0, lines
        return Boxes(edges, OWN_OF_TWO, lines, length)
