"""AttentiveMix: the cells of the partner that a network attends to are pasted over the row."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from mixlab import checks
from mixlab.errors import UserError
from mixlab.mixing.binding import bind
from mixlab.mixing.blend import Blend
from mixlab.mixing.methods.method import picture_size
from mixlab.mixing.partner_mask import PartnerMask
from mixlab.mixing.partners import partner_columns
from mixlab.mixing.saliency import ActivationMap, Saliency, maps_of


@dataclass(frozen=True)
class AttentiveMix:
    """Mixes (R, C, H, W) images; it draws nothing but partners.

    Paper: Walawalkar et al., Attentive CutMix: An Enhanced Data Augmentation Approach for Deep
        Learning Based Image Classification, 2020, https://arxiv.org/abs/2003.13048.
    Draws: nothing but the partner: the num_cells strongest of its grid x grid cells are pasted at
        the same place.
    Label: the partner's weight is the area of the cells.
    Avoid: early in training, when attention says little; with networks whose features are no maps
        (vision transformers); and where the share should vary.
    Differs: the network being trained is asked unless the saliency has one of its own, where the
        authors ask a pretrained ResNet-50.

    Attributes:
        num_cells: pasted, the paper's 6.
        grid: cells in each direction, the paper's 7; no more than the picture has pixels.
        saliency: of the partners.
    """

    num_cells: int = 6
    grid: int = 7
    saliency: Saliency = field(default_factory=ActivationMap)

    num_partners = 1
    label_differs = None

    def __post_init__(self) -> None:
        one = checks.whole(1)
        checks.check_fields(self, num_cells=one, grid=one, saliency=checks.SALIENCY)
        if self.num_cells >= self.grid**2:
            raise UserError(
                f"num_cells must be below the {self.grid**2} cells of the grid, got "
                f"{self.num_cells}; 6 of 49 is the paper's"
            )

    def bind(self, network: nn.Module) -> "AttentiveMix":
        """A copy whose saliency looks at `network`."""
        return replace(self, saliency=bind(self.saliency, network))

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; waits for a GPU once, for the areas of the cells."""
        picture_size(images, "AttentiveMix")
        partner = partner_columns(partners, images, rng)[:, 0]
        maps = maps_of(self.saliency, images, targets, partner)
        pasted = strongest_cells(maps, self.grid, self.num_cells)
        return Blend.pair(partner, PartnerMask(pasted))


def strongest_cells(maps: Tensor, grid: int, num_cells: int) -> Tensor:
    """(R, H, W) float, 1 in the cells of largest mean in `maps` (R, H, W), 0 elsewhere."""
    down, across = (_members(length, grid, maps) for length in maps.shape[-2:])
    with torch.autocast(maps.device.type, enabled=False):  # which would rank cells in 16 bits
        mean = down @ maps @ across.T / (down.sum(1)[:, None] * across.sum(1))
        flat = mean.flatten(1)
        best = flat.topk(min(num_cells, flat.shape[1]), dim=1).indices
        chosen = torch.zeros_like(flat).scatter_(1, best, 1.0).view_as(mean)
        return down.T @ chosen @ across


def _members(length: int, grid: int, like: Tensor) -> Tensor:
    """(cells, length): 1 where a pixel of a side is in a cell of it."""
    count = min(grid, length)
    cell = torch.arange(length, device=like.device) * count // length
    return (cell == torch.arange(count, device=like.device)[:, None]).to(like.dtype)
