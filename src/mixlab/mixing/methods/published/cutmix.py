"""CutMix as published code has it: with a smallest side, or labels that ignore clipping."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.methods.cutmix import CutMix
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class PublishedCutMix(CutMix):
    """CutMix with two more settings.

    Paper: Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
        Features, 2019, https://arxiv.org/abs/1905.04899, as other code has it.
    Draws: lam ~ Beta(alpha, alpha); the partner's is a box of sides sqrt(1 - lam) of the picture's
        around a uniform pixel, clipped at the border, of min_side pixels at least.
    Label: the partner's weight is the area of the box after clipping, or without clipped_label 1 -
        lam.
    Avoid: for anything but repeating published figures.

    Attributes:
        min_side: 0, or 1: a side of no pixel becomes one pixel, as in the Keras example.
        clipped_label: False repeats a slip of keras-cv up to 0.4.2: the label counts the box as if
            the border had cut nothing off.
    """

    min_side: int = 0
    clipped_label: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.check_fields(self, min_side=checks.whole(0, 1), clipped_label=checks.FLAG)

    @property
    def label_differs(self) -> str | None:
        """See `Method`."""
        slip = "the label counts boxes before they are clipped at the border"
        return None if self.clipped_label else slip

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`."""
        partner = partner_columns(partners, images, rng)[:, 0]
        side_fraction, boxes = self.draw(images, rng, len(partner), self.min_side)
        if self.clipped_label:
            return Blend.pair(partner, boxes)
        pasted = torch.from_numpy(side_fraction**2).float()
        return Blend.pair(partner, boxes, torch.stack([1 - pasted, pasted], dim=1))
