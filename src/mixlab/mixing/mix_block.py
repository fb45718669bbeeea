"""MixBlock: attention between the feature maps of two images says where each of them is seen.

Liu et al., AutoMix: Unveiling the Power of Mixup for Stronger Classifiers, 2021,
https://arxiv.org/abs/2103.13027: the map of an image and its share are joined,
attention P between the two images weighs values V of the first, and a sigmoid of the enlarged
P^T V is its mask.

Here the softmax of P runs over the places of the first image, so that P^T V is a mean of values,
whose level can follow the share. In the authors' code it runs over those of the second: places that
nothing attends to stay at one half, and in short trainings masks keep the mean they began with.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlab.mixing.masks import sent_to

TINY = 1e-12


class MixBlock(nn.Module):
    """Raw masks of image pairs, from feature maps and the share that each row shall keep.

    Args:
        channels: C of the feature maps.
        generator: on the CPU, of the initial weights, whose variance is 1 / (C + 1); torch's own is
            never drawn from.
        device: of the weights; a GPU is not waited for.
    """

    def __init__(
        self, channels: int, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        wide, narrow = channels + 1, max(1, channels // 2)  # the share is one more channel

        def weights(rows: int) -> nn.Parameter:
            drawn = torch.randn(rows, wide, generator=generator, device="cpu") / wide**0.5
            return nn.Parameter(sent_to(drawn, device))

        self.query = weights(narrow)  # of keys, too, as in the authors' code
        self.query_bias = nn.Parameter(torch.zeros(narrow, 1, device=device))
        self.value = weights(1)
        self.value_bias = nn.Parameter(torch.zeros(1, 1, device=device))

    def forward(self, own: Tensor, other: Tensor, share: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, 1, height, width) float32 in [0, 1]: where the row itself is seen.

        Args:
            own, other: (B, C, h, w) float32, feature maps of the rows and of their partners.
            share: (B,) float32 in [0, 1], that the rows shall keep.
            size: height and width of the images.
        """
        first, second = _with_share(own, share), _with_share(other, 1 - share)
        with torch.autocast(own.device.type, enabled=False):  # or masks would miss their shares
            query = self.query @ first + self.query_bias
            key = self.query @ second + self.query_bias
            scores = query.transpose(1, 2) @ key / query.shape[1] ** 0.5
            attention = scores.softmax(1)  # (B, h * w, h * w), over places of the row
            values = self.value @ first + self.value_bias
            logits = (values @ attention).unflatten(2, own.shape[2:])
        return F.interpolate(logits, size, mode="nearest-exact").sigmoid()


def with_mean(mask: Tensor, share: Tensor) -> Tensor:
    """`mask` (B, 1, H, W) in [0, 1], scaled toward 0 or toward 1 until its mean is `share` (B,).

    It stays in [0, 1], keeps the order of its values, and is constant for a share of 0 or 1.
    """
    mean, share = mask.mean((2, 3), keepdim=True), share.view(-1, 1, 1, 1)
    less = mask * (share / mean.clamp_min(TINY))
    more = 1 - (1 - mask) * ((1 - share) / (1 - mean).clamp_min(TINY))
    return torch.where(mean > share, less, more)


def _with_share(features: Tensor, share: Tensor) -> Tensor:
    """(B, C + 1, h * w)."""
    places = features.flatten(2)
    return torch.cat([places, share.view(-1, 1, 1).expand(-1, 1, places.shape[2])], 1)
