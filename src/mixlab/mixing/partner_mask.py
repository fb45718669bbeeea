"""PartnerMask: the mask of a pair, kept as the partner's part alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.mixing.masks import pixel_mean, placed


@dataclass(frozen=True, eq=False)
class PartnerMask:
    """What each pixel takes of the partner; the row keeps the rest.

    Half of the memory of a mask with a channel for each source, and one pass to apply it.

    Attributes:
        partner: (B|1, *S) float in [0, 1].
    """

    partner: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(B|1, 2, *S), as it is painted."""
        return (len(self.partner), 2, *self.partner.shape[1:])

    def paint(self, device: torch.device | str = "cpu") -> Tensor:
        """The mask of the row and of its partner: (B|1, 2, *S)."""
        partner = placed(self.partner, device)
        return torch.stack([1 - partner, partner], 1)

    def mean(self) -> Tensor:
        """Mean of the mask of each source: (B|1, 2) float32; waits for a GPU."""
        partner = pixel_mean(self.partner.reshape(len(self.partner), -1)).cpu()
        return torch.stack([1 - partner, partner], 1).float()

    def where(self, rows: Tensor) -> "PartnerMask":
        """The same mask in the chosen `rows` (B,) bool; the others stay unchanged."""
        chosen = rows.view(-1, *[1] * (self.partner.ndim - 1))
        return PartnerMask(self.partner * chosen.to(self.partner.device, non_blocking=True))
