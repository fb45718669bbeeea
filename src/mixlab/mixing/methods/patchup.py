"""PatchUp: blocks of a feature map are exchanged, or mixed, with those of the partner.

As in DropBlock (https://arxiv.org/abs/1810.12890) each position is the center of a block with the
same chance. That chance is not DropBlock's, which counts overlaps twice and fails on maps hardly
larger than a block: here blocks cover the part `gamma` of a map in expectation, overlaps and edges
included.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.masks import sent_to
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partner_mask import PartnerMask
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class HardPatchUp:
    """Takes blocks of (R, C, ..., H, W) features, the same in all channels, from the partner.

    Paper: Faramarzi et al., PatchUp: A Feature-Space Block-Level Regularization Technique for
        Convolutional Neural Networks, 2020, https://arxiv.org/abs/2006.07794.
    Draws: each position of a feature map is the center of a block of block_size with the same
        chance, so that blocks cover the part gamma on average; the blocks are the partner's.
    Label: the partner's weight is the covered part of the map.
    Avoid: with small feature maps: a block is cut to half of the map's side.
    Differs: blocks are the same in all channels, where the authors draw them for each channel, and
        gamma is the part that blocks cover, while theirs counts overlaps twice. The paper's loss
        has two terms; with cross-entropy, which is linear in the label, each of them is the loss of
        the label that is the mean of the mask, so that is the label here. Of the layers theirs
        draws the input, where it does CutMix, the stem or the first stage; here the input too gets
        blocks, and any stage is drawn by default. Their commands mix 0.7 of the batches.

    Attributes:
        gamma: in (0, 1], the expected part of the map that is altered; the authors' commands have
            0.5 for Hard PatchUp, of 0.7 of the batches, and 0.75 for the soft one.
        block_size: >= 1, side of a block in positions of the map; at most half of the map's side.
        per_row: draw blocks for each row, or once for the batch.
    """

    gamma: float = 0.5
    block_size: int = 7
    per_row: bool = True

    num_partners = 1
    label_differs = None
    usual_gamma: ClassVar[str] = "0.5 is the authors'"

    def __post_init__(self) -> None:
        gamma = checks.ABOVE_0.but(f"{self.usual_gamma}; probability=0 mixes nothing")
        size = checks.whole(1).but("7 is the paper's")
        checks.check_fields(self, gamma=gamma, block_size=size, per_row=checks.FLAG)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for features without height and width."""
        height, width = picture_size(images, "PatchUp")
        partner = partner_columns(partners, images, rng)[:, 0]
        num_draws = len(partner) if self.per_row else 1
        taken = self.taken(rng, num_draws)
        centers = rng.random((num_draws, height, width), dtype=np.float32)
        side = min(self.block_size, (min(height, width) + 1) // 2)
        blocks = blocks_around(centers < center_rate(self.gamma, side, height, width), side)
        covered = [np.count_nonzero(each) / each.size for each in blocks.numpy()]
        share = taken * torch.tensor(covered, dtype=torch.float32, device="cpu")[:, None]
        other = sent_to(blocks, images.device).float()
        other *= taken.to(images.device, non_blocking=True)[:, :, None]
        return Blend.pair(partner, PartnerMask(other), torch.cat([1 - share, share], dim=1))

    def taken(self, rng: np.random.Generator, num_draws: int) -> Tensor:
        """(num_draws, 1) float32: what a block takes of the partner."""
        return torch.ones(num_draws, 1, device="cpu")


@dataclass(frozen=True)
class SoftPatchUp(HardPatchUp):
    """Mixes the blocks with the partner's, by a share of its own for each row.

    Paper: Faramarzi et al., PatchUp: A Feature-Space Block-Level Regularization Technique for
        Convolutional Neural Networks, 2020, https://arxiv.org/abs/2006.07794.
    Draws: blocks as HardPatchUp draws them, and lam ~ Beta(alpha, alpha); in the blocks h~ = lam *
        h + (1 - lam) * h'.
    Label: the partner's weight is the covered part of the map times 1 - lam.
    Avoid: where strong mixing is wanted: a row keeps most of itself.
    Differs: as in HardPatchUp; and gamma is 0.5, where the authors' commands have 0.75, and mix
        all batches.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the share that a block keeps is drawn.
    """

    alpha: float = 2.0

    usual_gamma: ClassVar[str] = "0.75 is the authors'"

    def __post_init__(self) -> None:
        super().__post_init__()
        alpha = checks.POSITIVE.but("2.0 is the paper's; probability=0 mixes nothing")
        checks.check_fields(self, alpha=alpha)

    def taken(self, rng: np.random.Generator, num_draws: int) -> Tensor:
        """See `HardPatchUp`."""
        own = own_shares(self.alpha, rng, num_draws)
        return torch.from_numpy((1 - own).astype(np.float32))[:, None]


@lru_cache
def center_rate(gamma: float, side: int, height: int, width: int) -> float:
    """The chance of a position to be a center so that blocks cover `gamma` of the map on average.

    A position that n blocks could cover stays free with the chance (1 - rate) ** n.
    """
    reach = blocks_reaching(height, side)[:, None] * blocks_reaching(width, side)
    low, high = 0.0, 1.0
    for _ in range(50):
        rate = (low + high) / 2
        covered = float((1 - (1 - rate) ** reach).mean())
        low, high = (rate, high) if covered < gamma else (low, rate)
    return high


def blocks_reaching(length: int, side: int) -> np.ndarray:
    """(length,) int64: along one axis, how many centers have a block that covers each position."""
    place = np.arange(length)
    first, last = place - side // 2, place + (side - 1) // 2
    return np.minimum(last, length - 1) - np.maximum(first, 0) + 1


def blocks_around(centers: np.ndarray, side: int) -> Tensor:
    """Bool (B, H, W): squares around the `centers` (B, H, W), cut off at the border.

    Squares of an even side have one more row below and one more column right of their center.
    """
    before, after = side // 2, (side - 1) // 2
    padded = np.pad(centers, ((0, 0), (before, after), (before, after)))
    blocks = torch.from_numpy(padded)
    for axis in (1, 2):
        blocks = any_of_run(blocks, side, axis)
    return blocks


def any_of_run(values: Tensor, side: int, axis: int) -> Tensor:
    """Bool `values`: whether any of `side` in a row is true, for each start of such a row.

    Rows of twice the length are made of two, so that 7 take three steps and not six.
    """
    length = 1
    while length < side:
        step = min(length, side - length)
        rest = values.shape[axis] - step
        values = values.narrow(axis, 0, rest) | values.narrow(axis, step, rest)
        length += step
    return values
