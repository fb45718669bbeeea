"""SnapMix: a box of the partner, resized into another box of the row; labels by what they mean."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from mixlab import checks
from mixlab.mixing.binding import bind
from mixlab.mixing.blend import Blend
from mixlab.mixing.boxes import Boxes, clipped_boxes
from mixlab.mixing.masks import OWN_OF_TWO
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partners import partner_columns
from mixlab.mixing.saliency import ActivationMap, Saliency, maps_of


@dataclass(frozen=True)
class SnapMix:
    """Mixes (R, C, H, W) images.

    As in the paper a label does not sum to one: it has more where a salient part is pasted over an
    empty one, less in the opposite case. Where both rows are of one class it has the sum of both
    weights; the authors' code doubles that.

    Paper: Huang et al., SnapMix: Semantically Proportional Mixing for Augmenting Fine-grained Data,
        2020, https://arxiv.org/abs/2012.04846.
    Draws: two boxes of sides sqrt(1 - lam) of the picture's, a lam ~ Beta(alpha, alpha) and a
        uniform center each, clipped at the border; the partner's in its own is resized into the
        row's.
    Label: the row's weight is what its class activation map has outside its box, the partner's what
        its map has inside its own; they need not sum to one. Of a class in both rows they add up,
        and binary cross-entropy takes what is above 1 as 1.
    Avoid: with a loss that needs labels that sum to one; with networks whose features are no maps
        (vision transformers); and early in training, when the maps say little.
    Differs: where both rows are of one class, the authors' code counts the sum of both weights
        twice, here once. A box of no pixel becomes one of a pixel, where theirs leaves the batch
        unmixed. The network looks in eval mode.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the own share *before clipping* is drawn; the
            paper's 5.
        per_row: draw boxes for each row, or a pair of them for the batch as in the authors' code.
        saliency: of rows and partners.
    """

    alpha: float = 5.0
    per_row: bool = True
    saliency: Saliency = field(default_factory=lambda: ActivationMap(of_class=True))

    num_partners = 1
    label_differs = "snapmix weighs the activation of each part, and a label does not sum to one"

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("5.0 is the paper's; probability=0 mixes nothing")
        saliency = checks.SALIENCY
        checks.check_fields(self, alpha=alpha, per_row=checks.FLAG, saliency=saliency)

    def bind(self, network: nn.Module) -> "SnapMix":
        """A copy whose saliency looks at `network`."""
        return replace(self, saliency=bind(self.saliency, network))

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; waits for a GPU once, for the weights of the labels."""
        size = np.array(picture_size(images, "SnapMix"))
        partner = partner_columns(partners, images, rng)[:, 0]
        own = np.arange(len(partner))
        maps = maps_of(self.saliency, images, targets, np.arange(len(images)))
        to, of = (self._boxes(rng, len(partner), size) for _ in range(2))
        covered = [
            (_seen(maps, rows) * boxes.paint(maps.device)[:, 1]).sum((1, 2))
            for boxes, rows in ((to, own), (of, partner))
        ]
        share = torch.stack([1 - covered[0], covered[1]], dim=1).clamp(0, 1).cpu()
        warp = torch.eye(2, 3, device="cpu").repeat(len(partner), 2, 1, 1)
        warp[:, 1] = into(to.edges, of.edges, *size)
        return replace(Blend.pair(partner, to, share), warp=warp).where(partner != own)

    def _boxes(self, rng: np.random.Generator, num_rows: int, size: np.ndarray) -> Boxes:
        """Boxes of at least a pixel."""
        count = num_rows if self.per_row else 1
        sides = np.sqrt(1 - own_shares(self.alpha, rng, count))[:, None] * size
        return Boxes(
            clipped_boxes(sides, count, size, rng, 1), OWN_OF_TWO, int(size[0]), int(size[1])
        )


def _seen(maps: Tensor, rows: np.ndarray) -> Tensor:
    """`maps` of `rows` (B,) int64."""
    return maps.index_select(0, torch.from_numpy(rows).to(maps.device, non_blocking=True))


def into(to: Tensor, of: Tensor, height: int, width: int) -> Tensor:
    """(B, 2, 3) warps, as `Blend.warp`, that show the box `of` (B, 4) in the box `to` (B, 4)."""
    warp = torch.zeros(len(to), 2, 3, device="cpu")
    for row, (start, length) in enumerate(((2, width), (0, height))):  # x first
        low, high = to[:, start].double(), to[:, start + 1].double()
        other_low, other_high = of[:, start].double(), of[:, start + 1].double()
        scale = (other_high - other_low) / (high - low)
        warp[:, row, row] = scale.float()
        warp[:, row, 2] = (scale + 2 / length * (other_low - low * scale) - 1).float()
    return warp
