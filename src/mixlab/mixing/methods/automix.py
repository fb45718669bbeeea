"""AutoMix: a network trained beside the classifier says where each image is seen."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from mixlab import checks
from mixlab.errors import UserError
from mixlab.mixing.blend import Blend
from mixlab.mixing.mask_network import MaskNetwork
from mixlab.mixing.masks import pair_of_shares
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.mix_block import with_mean
from mixlab.mixing.partner_mask import PartnerMask
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class AutoMix:
    """Mixes (R, C, H, W) images by masks of the network that `LearnedMixingCallback` trains.

    Paper: Liu et al., AutoMix: Unveiling the Power of Mixup for Stronger Classifiers, 2021,
        https://arxiv.org/abs/2103.13027.
    Draws: lam ~ Beta(alpha, alpha); a mask M in [0, 1] of both images' features and lam, scaled
        until its mean is lam; x~ = M * x + (1 - M) * x'.
    Label: y~ = lam * y + (1 - lam) * y'.
    Avoid: where time is short, as a step costs about twice as much; with networks whose features
        are no maps (transformers); with a batch of one. Rows of several labels are refused.
    Differs: the paper's label is lam, and a loss only pulls the mean of M to it: while the mix
        block is new, the two are a fifth apart. Here the mean *is* lam, so the label tells what is
        there, and the CPU does not wait for the GPU. `exact=false` is the paper's. Its code also
        trains the classifier on the unmixed images, is mixup where lam or 1 - lam is at most 0.08,
        and has a mask_weight of 0.1.
    Published: 77.91 % top-1 accuracy on ImageNet with ResNet-50, 100 epochs; 76.83 % without,
        77.54 % with PuzzleMix.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the share is drawn that a row keeps.
        per_row: draw a share for each row, or, as the paper, one for the batch.
        exact: scale each mask until its mean is the share; else the label may differ.
        network: of the masks; None for the one being trained.
    """

    alpha: float = 2.0
    per_row: bool = True
    exact: bool = True
    network: MaskNetwork | None = field(default=None, repr=False, compare=False)

    num_partners = 1
    callback = "LearnedMixingCallback"
    mean_mixed = 0.5  # where `exact` is false, only nearly

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("2.0 is the paper's; probability=0 mixes nothing")
        checks.check_fields(self, alpha=alpha, per_row=checks.FLAG, exact=checks.FLAG)

    @property
    def label_differs(self) -> str | None:
        """None where masks are exact."""
        return None if self.exact else "the label is the share that a mask's mean only approaches"

    def bind(self, network: nn.Module) -> "AutoMix":
        """A copy with masks of `network`, or by a block that was never trained for its features."""
        made = network if isinstance(network, MaskNetwork) else MaskNetwork(network)
        return self if self.network is not None else replace(self, network=made)

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError without a network."""
        picture_size(images, "AutoMix")
        if self.network is None:
            raise UserError(
                "AutoMix mixes by a network that is trained beside the classifier and was given "
                "none; use mixlab.callbacks.LearnedMixingCallback, or bind(method, net) for masks "
                "of a block before its training"
            )
        partner = partner_columns(partners, images, rng)[:, 0]
        own = own_shares(self.alpha, rng, len(partner) if self.per_row else 1)
        with torch.no_grad():
            mask = self.fitted(self.network(images, partner, own), own)
        return Blend.pair(partner, PartnerMask(1 - mask[:, 0]), pair_of_shares(1 - own))

    def fitted(self, mask: Tensor, own: np.ndarray) -> Tensor:
        """Raw masks (B, 1, H, W) as they mix rows that keep `own` (B,) or (1,)."""
        if not self.exact:
            return mask
        share = torch.from_numpy(own.astype(np.float32)).to(mask.device, non_blocking=True)
        return with_mean(mask, share)
