"""Random 2x2: each quarter around a random point comes from the row or from its partner."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.cells import blend_of_quarters
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class Random2x2:
    """Mixes (R, C, H, W) images of any aspect ratio; some rows are all theirs or all a partner's.

    Paper: Summers & Dinneen, Improved Mixed-Example Data Augmentation, 2018,
        https://arxiv.org/abs/1805.11272, "random 2x2", with the ranges of the authors' code: the
        chance is uniform, so alpha is 1, and the point is in the middle half of each side.
    Draws: a uniform point in the middle, which cuts four quarters; lam ~ Beta(alpha, alpha), the
        chance of each quarter by itself to be the row's.
    Label: the row's weight is the area of its quarters, whatever lam was.
    Avoid: as the only regularizer: with alpha 1, two rows in five show one picture alone.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the chance that a quarter is the row's is
            drawn; the label follows the quarters, not the chance.
        center: [lowest, highest] in [0, 1], each coordinate of the point as a fraction of the
            picture's side, drawn uniformly and rounded to pixels.
        per_row: draw point and quarters for each row, or once for the batch.
    """

    alpha: float
    center: Sequence[float] = (0.25, 0.75)
    per_row: bool = True

    num_partners = 1
    label_differs = None

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("1.0 is the paper's; probability=0 mixes nothing")
        center = checks.span(0, 1).but("[0.25, 0.75] is the authors'")
        checks.check_fields(self, alpha=alpha, center=center, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for images without height and width."""
        size = picture_size(images, "Random 2x2")
        partner = partner_columns(partners, images, rng)[:, 0]
        own = own_shares(self.alpha, rng, len(partner) if self.per_row else 1)
        cuts = rng.uniform(*self.center, size=(2, len(own))) * np.array(size)[:, None]
        taken = rng.random((len(own), 2, 2)) >= own[:, None, None]
        return blend_of_quarters(partner, taken, np.rint(cuts).astype(np.int64), images)
