"""PuzzleMix: which blocks come from which picture, and where to, is optimized for saliency.

Saliency is counted in means over a picture's blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import gcd, lgamma

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlab import checks
from mixlab.mixing.binding import bind
from mixlab.mixing.blend import Blend
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partner_mask import PartnerMask
from mixlab.mixing.partners import partner_columns
from mixlab.mixing.puzzle import MaskEnergy, transported
from mixlab.mixing.saliency import InputGradient, Saliency, maps_of

CELL = 4  # pixels whose mean is the color at a border, at most, as in the authors' commands


@dataclass(frozen=True)
class PuzzleMix:
    """Mixes (R, C, H, W) images.

    Paper: Kim et al., Puzzle Mix: Exploiting Saliency and Local Statistics for Optimal Mixup, 2020,
        https://arxiv.org/abs/2009.06962.
    Draws: lam ~ Beta(alpha, alpha); a mask of blocks loses little saliency, changes seldom between
        neighbors, least of all where colors would jump, and gives the partner a share near 1 - lam;
        then the blocks of both pictures move to where they are seen.
    Label: the mean of the mask.
    Avoid: where time matters: its saliency maps cost nearly a training step.
    Differs: colors are divided by the range of their channel in the batch, where the authors undo
        the normalization. Whole blocks of the mask move, where theirs are cut into blocks of at
        most 4 pixels; no block is lost, and one seen in part counts in part. Each row has a lam of
        its own. The network looks in eval mode. The authors' clean loss and adversarial noise,
        which are options of their code, are not there.
    Published: 84.05 % accuracy on CIFAR-100 with WRN-28-10, 78.76 % top-1 on ImageNet with
        ResNet-50.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which each row's lam is drawn.
        labels: >= 2, shares of the partner that a block may have: 0, 1 / (labels - 1), ..., 1.
        smoothness: >= 0, the paper's beta: price of neighbors with other shares, for a border as
            long as the picture's side, in sixteenths of its saliency as in the authors' code.
        contrast: >= 0, its gamma: price of a border, as a part of `smoothness`, where the colors on
            either side differ by the whole range of the batch.
        prior: >= 0, its eta: how much the share follows lam.
        transport_cost: >= 0, its xi: price of a move by a block; None moves nothing. Blocks that
            move cannot be mixed again in a `Sequence` or chosen row by row in `OneOf`.
        grids: blocks to a side, one of them drawn for each batch; of each, the largest number not
            above it that divides height and width.
        saliency: of rows and partners.
    """

    alpha: float = 1.0
    labels: int = 3
    smoothness: float = 1.2
    contrast: float = 0.5
    prior: float = 0.2
    transport_cost: float | None = 0.8
    grids: Sequence[int] = (2, 4, 8, 16)
    saliency: Saliency = field(default_factory=InputGradient)

    num_partners = 1
    label_differs = None
    mean_mixed = 0.5  # a row and its partner can change places

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("1.0 is usual; probability=0 mixes nothing")
        price = checks.number(0)
        checks.check_fields(
            self,
            alpha=alpha,
            labels=checks.whole(2),
            smoothness=price,
            contrast=price,
            prior=price,
            transport_cost=price.or_(None),
            grids=checks.several(checks.whole(1)).but("the paper's are [2, 4, 8, 16]"),
            saliency=checks.SALIENCY,
        )

    def bind(self, network: nn.Module) -> "PuzzleMix":
        """A copy whose saliency looks at `network`."""
        return replace(self, saliency=bind(self.saliency, network))

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; waits for a GPU once, for the means of the masks."""
        height, width = picture_size(images, "PuzzleMix")
        partner = partner_columns(partners, images, rng)[:, 0]
        blocks = largest_divisor(gcd(height, width), int(rng.choice(list(self.grids))))
        own = own_shares(self.alpha, rng, len(partner))
        maps = maps_of(self.saliency, images, targets, np.arange(len(images)))
        rows = torch.from_numpy(np.stack([np.arange(len(partner)), partner]))
        rows = rows.to(images.device, non_blocking=True)
        saliency = F.adaptive_avg_pool2d(maps, blocks) * height * width
        colors = border_colors(images, blocks)
        energy = self.energy(
            [saliency[each] for each in rows], [colors[each] for each in rows], own
        )
        z = energy.values_L[energy.least()]
        moves = self.moves([saliency[each] for each in rows], z)
        mask = PartnerMask(_enlarged(z, height, width))
        blend = replace(Blend.pair(partner, mask), moves=moves)
        return blend.where(partner != np.arange(len(partner)))

    def energy(self, saliency: list[Tensor], colors: list[Tensor], own: np.ndarray) -> MaskEnergy:
        """Of saliency (B, n, n) and colors, see `border_colors`, of rows and partners; lam (B,)."""
        size = saliency[0].shape[-1]
        price = self.smoothness * size / 16
        seen = torch.stack(saliency[::-1], 1)  # to see one picture loses what is salient in another
        weights = []
        for dim in (2, 3):
            jump = jumps(colors, size, dim) * price * self.contrast / 2
            seen.narrow(dim, 0, size - 1).add_(jump.sum(1).movedim(0, 1))
            seen.narrow(dim, 1, size - 1).add_(jump.sum(0).movedim(0, 1))
            apart = jump[0, 1] + jump[1, 0] - jump[0, 0] - jump[1, 1]
            weights.append((price + apart).clamp_min(0))
        z = (torch.arange(self.labels, device=seen.device) / (self.labels - 1)).view(1, -1, 1, 1)
        prior = torch.from_numpy(surprise(self.labels, 1 - own)).to(seen, non_blocking=True)
        cost = (1 - z) * seen[:, :1] + z * seen[:, 1:] + self.prior * prior[..., None, None]
        return MaskEnergy(cost, *weights)

    def moves(self, saliency: list[Tensor], z: Tensor) -> Tensor | None:
        """(B, 2, N): the block of each source that lies at each place; None where none moves."""
        if self.transport_cost is None or z.shape[-1] == 1:
            return None
        seen = (1 - z, z)
        pairs = [
            transported(w.flatten(1), s.flatten(1), self.transport_cost)
            for w, s in zip(seen, saliency, strict=True)
        ]
        return torch.stack(pairs, 1)


def border_colors(images: Tensor, blocks: int) -> Tensor:
    """(R, C, h, w): means of cells, whole numbers of which make up each of blocks x blocks.

    The values of a channel are in units of their range in the batch, which is one for pictures in
    [0, 1], so that normalization changes nothing.
    """
    pixels = images.detach().flatten(1, -3).float()
    height, width = pixels.shape[2:]
    cell = [largest_divisor(length // blocks, CELL) for length in (height, width)]
    span = pixels.amax((0, 2, 3), keepdim=True) - pixels.amin((0, 2, 3), keepdim=True)
    return F.avg_pool2d(pixels, cell) / torch.where(span > 0, span, 1)


def jumps(colors: list[Tensor], blocks: int, dim: int) -> Tensor:
    """How far the colors on both sides of each border are apart, as the authors' `neigh_penalty`.

    (2, 2, B, n - 1, n) for dim 2, (2, 2, B, n, n - 1) for dim 3: [a, b] for picture a before and b
    behind the border, the means over channels and along the border.
    """
    cells = [each.unflatten(dim, (blocks, -1)) for each in colors]
    before = [each.select(dim + 1, -1).narrow(dim, 0, blocks - 1) for each in cells]
    behind = [each.select(dim + 1, 0).narrow(dim, 1, blocks - 1) for each in cells]
    apart = torch.stack([(a - b).abs().mean(1) for a in before for b in behind])
    along = 5 - dim
    return apart.unflatten(along, (blocks, -1)).mean(along + 1).unflatten(0, (2, 2))


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` up to `limit`."""
    return next(each for each in range(min(limit, number), 0, -1) if number % each == 0)


def surprise(labels: int, share: np.ndarray) -> np.ndarray:
    """(B, labels) float32: minus the log of the binomial chance of each label of mean `share`."""
    most = labels - 1
    share = share.clip(1e-6, 1 - 1e-6)[:, None]
    k = np.arange(labels)
    ways = [lgamma(most + 1) - lgamma(each + 1) - lgamma(most - each + 1) for each in k]
    return -(ways + k * np.log(share) + (most - k) * np.log(1 - share)).astype(np.float32)


def _enlarged(mask: Tensor, height: int, width: int) -> Tensor:
    """(B, height, width) of (B, n, n), whose n divides both."""
    size = mask.shape[-1]
    high, wide = height // size, width // size
    blocks = mask[:, :, None, :, None].expand(-1, size, high, size, wide)
    return blocks.reshape(len(mask), height, width)
