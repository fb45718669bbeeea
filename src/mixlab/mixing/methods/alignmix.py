"""AlignMix: the partner's features are moved to where they fit the row's, then mixed."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.errors import UserError
from mixlab.mixing.blend import Blend
from mixlab.mixing.blend_input import check_float_images
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partners import partner_columns
from mixlab.mixing.sinkhorn import squared_distances, transport_plan

MOST_POSITIONS = 1024  # a plan has the square of that for each row


@dataclass(frozen=True, eq=False)
class AlignedBlend(Blend):
    """A flat blend of two sources, the second moved to match the first.

    Attributes:
        regularization: of the transport, as a part of the mean cost.
        iterations: of Sinkhorn.
    """

    regularization: float = 0.1
    iterations: int = 20

    def images(self, images: Tensor) -> Tensor:
        """The mixture of (R, C, ..., H, W) float features, in their dtype."""
        check_float_images(images)
        own = images[: self.num_rows]
        partner = images.index_select(0, self.source[:, 1].to(images.device, non_blocking=True))
        weight = self.mask.to(images, non_blocking=True)  # pyright: ignore
        first, second = weight.view(len(weight), 2, *[1] * (images.ndim - 1)).unbind(1)
        return own * first + self.aligned(own, partner) * second

    def aligned(self, own: Tensor, partner: Tensor) -> Tensor:
        """`partner` (B, C, ..., H, W), its positions moved to those of `own`; a row is its own.

        In 32 bits even in a forward pass with 16, as distances are small differences of large
        numbers.
        """
        places, moved = own.flatten(2).float(), partner.flatten(2).float()
        with torch.autocast(own.device.type, enabled=False):
            plan = self.plan(places, moved)
            aligned = (moved @ plan.transpose(1, 2)).view(partner.shape).to(partner.dtype)
        itself = (self.source[:, 1] == self.source[:, 0]).view(-1, *[1] * (own.ndim - 1))
        return torch.where(itself.to(own.device, non_blocking=True), partner, aligned)

    @torch.no_grad()
    def plan(self, own: Tensor, partner: Tensor) -> Tensor:
        """(B, N, N): what each of N places of `own` takes of those of `partner`, both (B, C, N)."""
        cost = squared_distances(own, partner)
        cost = cost / cost.mean((1, 2), keepdim=True).clamp_min(1e-12)
        plan = transport_plan(cost, self.regularization, self.iterations)
        return plan / plan.sum(2, keepdim=True)

    def _planes(self, targets: Tensor) -> Tensor:
        raise UserError(
            "AlignMix moves features, and masks would not move with them; use Mixup (mixing=mixup)"
        )


@dataclass(frozen=True)
class AlignMix:
    """Mixes (R, C, ..., H, W) features of at most 1024 positions.

    Paper: Venkataramanan et al., AlignMixup: Improving Representations By Interpolating Aligned
        Features, 2021, https://arxiv.org/abs/2103.15375.
    Draws: lam ~ Beta(alpha, alpha); h~ = lam * h + (1 - lam) * P h', where P carries the partner's
        positions to those of the row, by optimal transport (Sinkhorn).
    Label: y~ = lam * y + (1 - lam) * y'.
    Avoid: with large feature maps: above 1024 positions it is refused.
    Differs: the partner is always aligned to the row, where the authors draw which of the two is.
        Regularization is a part of the mean cost, with 20 iterations; theirs is 0.1 whatever the
        cost, with up to 100. Their plain mixup of the input, of half of the batches, is not part of
        this method.
    Published: 79.32 % top-1 accuracy on ImageNet with ResNet-50, 300 epochs.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the own share is drawn.
        regularization: > 0, of the transport, as a part of the mean cost.
        iterations: >= 1, of Sinkhorn.
        per_row: draw a share for each row, or one for the batch.
    """

    alpha: float
    regularization: float = 0.1
    iterations: int = 20
    per_row: bool = True

    num_partners = 1
    label_differs = None

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("2.0 is the paper's; probability=0 mixes nothing")
        positive = checks.POSITIVE.but("0.1 is usual")
        checks.check_fields(self, alpha=alpha, regularization=positive, per_row=checks.FLAG)
        checks.check_fields(self, iterations=checks.whole(1).but("20 is usual"))

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for features without height and width, or too large."""
        picture_size(images, "AlignMix")
        size = images.shape[2:]
        if size.numel() > MOST_POSITIONS:
            words = " x ".join(map(str, size))
            raise UserError(
                f"AlignMix matches each position with each, and {words} are more than "
                f"{MOST_POSITIONS}; choose a later layer, as in mixing.layers=[last]"
            )
        partner = partner_columns(partners, images, rng)[:, 0]
        own = own_shares(self.alpha, rng, len(partner) if self.per_row else 1)
        mask = torch.from_numpy(np.stack([own, 1 - own], axis=1).astype(np.float32))
        return replace(
            AlignedBlend.pair(partner, mask),
            regularization=self.regularization,
            iterations=self.iterations,
        )
