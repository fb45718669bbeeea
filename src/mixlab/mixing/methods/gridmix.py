"""GridMix: the cells of a grid come from the row or from its partner."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.cells import blend_of_cells, equal_cells
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class GridMix:
    """Mixes (R, C, H, W) images of any aspect ratio.

    Paper: Baek et al., GridMix: Strong Regularization through Local Context Mapping, Pattern
        Recognition, 2021, https://www.sciencedirect.com/science/article/pii/S0031320320303976. This
        is the mixing without the paper's second loss, which predicts the class of each cell.
    Draws: lam ~ Beta(alpha, alpha); each of cells x cells cells by itself is the row's with
        probability lam.
    Label: the row's weight is the area of its cells.
    Avoid: where shapes decide: they are cut at every cell. The paper's figures are with its second
        loss.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the chance that a cell is the row's is drawn;
            the label follows the cells, not the chance.
        cells: > 0, cells along each side; they are equal to a pixel.
        per_row: draw a grid for each row, or one for the batch.
    """

    alpha: float
    cells: int = 4
    per_row: bool = True

    num_partners = 1
    label_differs = None

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("1.0 is usual; probability=0 mixes nothing")
        cells = checks.whole(1).but("4 makes a grid of 4 x 4")
        checks.check_fields(self, alpha=alpha, cells=cells, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for images without height and width."""
        height, width = picture_size(images, "GridMix")
        partner = partner_columns(partners, images, rng)[:, 0]
        own = own_shares(self.alpha, rng, len(partner) if self.per_row else 1)
        taken = rng.random((len(own), self.cells, self.cells)) >= own[:, None, None]
        lines = equal_cells(height, self.cells), equal_cells(width, self.cells)
        return blend_of_cells(partner, taken, *lines, images)
