"""SmoothMix: the partner shows through a soft spot, so that there is no edge to learn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.gaussians import blend_of_gaussians, uniform_centers
from mixlab.mixing.methods.method import picture_size
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class SmoothMix:
    """Mixes (R, C, H, W) images of any aspect ratio.

    Paper: Lee et al., SmoothMix: a Simple Yet Effective Data Augmentation to Train Robust
        Classifiers, CVPR Workshops 2020.
    Draws: t ~ Uniform(sigma); the partner's mask is a Gaussian of height 1 around a uniform pixel,
        of a standard deviation of t of the picture's height and width.
    Label: the mean of the mask.
    Avoid: where weak mixing is wanted: no alpha sets the share, sigma does.

    Attributes:
        sigma: [lowest, highest] in [0.01, 2], standard deviation of the Gaussian as a fraction of
            the picture's height and of its width, drawn uniformly; 0.25 to 0.5 in the paper. A
            row keeps 0.57 of itself on average with these.
        per_row: draw a spot for each row, or one for the batch.
    """

    sigma: Sequence[float] = (0.25, 0.5)
    per_row: bool = True

    num_partners = 1
    label_differs = None

    def __post_init__(self) -> None:
        sigma = checks.span(0.01, 2).but("the paper's is [0.25, 0.5]")
        checks.check_fields(self, sigma=sigma, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for images without height and width."""
        size = np.array(picture_size(images, "SmoothMix"))
        partner = partner_columns(partners, images, rng)[:, 0]
        num_spots = len(partner) if self.per_row else 1
        center = uniform_centers(num_spots, images, rng)
        sigma = rng.uniform(*self.sigma, size=(num_spots, 1)) * size
        of_row = np.zeros(num_spots, dtype=bool)
        return blend_of_gaussians(partner, center, sigma, of_row, images)
