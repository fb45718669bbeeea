"""GMix: a Gaussian spot whose size follows the share; which of both rows it shows, too."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.gaussians import blend_of_gaussians, uniform_centers
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class GMix:
    """Mixes (R, C, H, W) images of any aspect ratio.

    Paper: Park et al., A Unified Analysis of Mixed Sample Data Augmentation: A Loss Function
        Perspective, 2022, https://arxiv.org/abs/2208.09913.
    Draws: lam ~ Beta(alpha, alpha); exp(-pi * d**2 / (s * H * W)) at a distance d from a uniform
        pixel is the mask of the row with the smaller share s = min(lam, 1 - lam). In an endless
        picture its mean is s.
    Label: the mean of the mask: s less what the border cuts off.
    Avoid: where the object is small: as in CutMix, the spot may show background.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the own share is drawn, before the border cuts
            the spot off.
        per_row: draw a spot for each row, or one for the batch as in the authors' code.
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
        """See `Method`; raises UserError for images without height and width."""
        height, width = picture_size(images, "GMix")
        partner = partner_columns(partners, images, rng)[:, 0]
        own = own_shares(self.alpha, rng, len(partner) if self.per_row else 1)
        smaller = np.minimum(own, 1 - own).clip(1e-12)  # below, nothing would be left of the spot
        sigma = np.sqrt(smaller * height * width / (2 * np.pi))
        center = uniform_centers(len(own), images, rng)
        return blend_of_gaussians(partner, center, sigma[:, None].repeat(2, 1), own < 0.5, images)
