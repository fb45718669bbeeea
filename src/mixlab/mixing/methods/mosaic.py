"""Mosaic: four rows, each made smaller, in the quadrants around a random point."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.collage import collage, with_partners
from mixlab.mixing.methods.method import picture_size
from mixlab.mixing.partners import partner_columns
from mixlab.mixing.tiles import quadrants
from mixlab.mixing.views import resized_into


@dataclass(frozen=True)
class Mosaic:
    """Mixes (R, C, H, W) images of any aspect ratio; the row itself is at the top left.

    Paper: Bochkovskiy et al., YOLOv4: Optimal Speed and Accuracy of Object Detection, 2020,
        https://arxiv.org/abs/2004.10934, here for classification.
    Draws: both coordinates of a point ~ Uniform(center) of the picture's sides, rounded; each
        quadrant is the whole of a row of its own, resized to fit.
    Label: the weights are the areas of the quadrants.
    Avoid: with small pictures, or where height to width decides: rows are squeezed. A row keeps a
        quarter of itself on average, so runs take longer to fit.

    Attributes:
        center: [lowest, highest] in [0, 1], each coordinate of the point as a fraction of the
            picture's side, drawn uniformly and rounded to pixels.
        per_row: draw a point for each row, or one for the batch.
    """

    center: Sequence[float] = (0.25, 0.75)
    per_row: bool = True

    num_partners = 3
    label_differs = None

    def __post_init__(self) -> None:
        center = checks.span(0, 1).but("[0.25, 0.75] leaves each row a sixteenth at least")
        checks.check_fields(self, center=center, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for images without height and width."""
        size = picture_size(images, "Mosaic")
        rows = with_partners(partner_columns(partners, images, rng, self.num_partners))
        point = rng.uniform(*self.center, size=(2, len(rows) if self.per_row else 1))
        point = np.rint(point * np.array(size)[:, None]).astype(np.int64)
        edges = quadrants(point, *size)
        return collage(rows, edges, resized_into(edges, *size), *size)
