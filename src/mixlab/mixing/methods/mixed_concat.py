"""Mixed concat: the row at the top left and bottom right, its partner in the other quarters."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.cells import blend_of_quarters
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partners import partner_columns

PARTNERS_QUARTERS = np.array([[[False, True], [True, False]]])


@dataclass(frozen=True)
class MixedConcat:
    """Mixes (R, C, H, W) images of any aspect ratio.

    Paper: Summers & Dinneen, Improved Mixed-Example Data Augmentation, 2018,
        https://arxiv.org/abs/1805.11272, "mixed concat": two vertical concatenations, the second
        with the rows exchanged, side by side. Both cuts are at a uniform line, so alpha is 1.
    Draws: a, b ~ Beta(alpha, alpha), height and width of the quarter at the top left as fractions
        of the picture's, rounded to pixels; the row fills that quarter and the one opposite.
    Label: the row's weight is the area of its two quarters.
    Avoid: where objects fill the picture: no quarter need hold enough of one to know it.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the height and the width of the quarter at the
            top left are drawn, as fractions of the picture's and rounded to pixels.
        per_row: draw the cuts for each row, or once for the batch.
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
        size = picture_size(images, "Mixed concat")
        partner = partner_columns(partners, images, rng)[:, 0]
        num_draws = len(partner) if self.per_row else 1
        cuts = own_shares(self.alpha, rng, 2 * num_draws).reshape(2, num_draws)
        cuts = np.rint(cuts * np.array(size)[:, None]).astype(np.int64)
        return blend_of_quarters(partner, PARTNERS_QUARTERS, cuts, images)
