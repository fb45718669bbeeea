"""MaskLearner: trains a mix block against a copy of the classifier that follows it slowly.

AutoMix, https://arxiv.org/abs/2103.13027: the copy's weights are an exponential moving
average of the classifier's; its loss on mixed images teaches the block and nothing else.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mixlab.mixing.blend import Blend
from mixlab.mixing.mask_network import MaskNetwork, check_feature_map
from mixlab.mixing.masks import pair_of_shares
from mixlab.mixing.methods.automix import AutoMix
from mixlab.mixing.mix_block import MixBlock
from mixlab.mixing.saliency.input_gradient import soft_cross_entropy
from mixlab.mixing.undisturbed import evaluating, unchanged_generators

Exchange = Callable[[Tensor], Tensor]  # among processes; of one, a tensor as it is


def as_it_is(values: Tensor) -> Tensor:
    return values


class MaskLearner:
    """A mix block, its optimizer, and the momentum copy of the classifier.

    The copy is in eval mode, in 32 bits at least, and has the classifier's statistics of
    normalization. Where the authors also train the classifier on the unmixed images, here the gate
    says which rows stay unmixed.

    Args:
        classifier: images to logits (R, classes); it is copied, never written to.
        layer: the dotted name of its module with the feature map.
        images: of the kind that will come, for the number of channels of the feature map.
        generator: of the block's initial weights.
        momentum: in [0, 1), of the copy at each step in the long run; after n updates it is
            min(momentum, (1 + n) / (10 + n)).
        learning_rate: > 0, of Adam for the block.
        mask_weight: >= 0, of the loss that pulls raw masks to their share; the authors' is 0.1, for
            long trainings.
        mask_margin: in [0, 1], up to which a raw mask may differ from its share for nothing.
        reduced: the sum over processes, on all of them.
        shared: the tensor of the first process, on all of them.
    """

    def __init__(
        self,
        classifier: nn.Module,
        layer: str,
        images: Tensor,
        generator: torch.Generator,
        *,
        momentum: float = 0.999,
        learning_rate: float = 0.01,
        mask_weight: float = 1.0,
        mask_margin: float = 0.1,
        reduced: Exchange = as_it_is,
        shared: Exchange = as_it_is,
    ) -> None:
        self.momentum, self.reduced, self.shared = momentum, reduced, shared
        self.mask_weight, self.mask_margin = mask_weight, mask_margin
        encoder = own_copy(classifier)
        features = MaskNetwork(encoder, layer).features(images)
        check_feature_map(features, layer)
        block = MixBlock(features.shape[1], generator, images.device)
        self.network = MaskNetwork(encoder, layer, block)
        self.weights = list(block.parameters())
        self.optimizer = torch.optim.Adam(self.weights, lr=learning_rate)
        self.updates = 0  # of the copy

    @torch.no_grad()
    def follow(self, classifier: nn.Module) -> None:
        """Move the copy toward the classifier, which is the same in all processes."""
        kept = min(self.momentum, (1 + self.updates) / (10 + self.updates))
        ours = list(self.network.encoder.parameters())
        pairs = zip(ours, classifier.parameters(), strict=True)
        theirs: Any = [weight.detach().to(own.dtype) for own, weight in pairs]
        get_ema_multi_avg_fn(kept)(ours, theirs, self.updates)  # pyright: ignore
        statistics = list(self.network.encoder.buffers())
        for own, value in zip(statistics, classifier.buffers(), strict=True):
            own.copy_(value)
        measured = [each for each in statistics if each.is_floating_point()]
        if measured and self.shared is not as_it_is:  # each process measured its own rows
            joined = self.shared(torch.cat([each.float().flatten() for each in measured]))
            for own, value in zip(
                measured, joined.split([each.numel() for each in measured]), strict=True
            ):
                own.copy_(value.view_as(own))
        self.updates += 1

    def learn(
        self,
        method: AutoMix,
        images: Tensor,
        targets: Tensor,
        partner: np.ndarray,
        own: np.ndarray,
        *,
        rows: int,
    ) -> None:
        """One step of the block on a batch (B, C, H, W) with targets (B, classes).

        Args:
            method: says how raw masks mix; its network may know the images.
            partner: (B,) int64.
            own: (B,) or (1,), shares that the rows keep.
            rows: that count, beside those of other processes; 0 for a batch that only repeats some.
        """
        loss = self.loss(method, images, targets, partner, own)
        slopes = torch.autograd.grad(loss, self.weights)
        if self.reduced is not as_it_is:
            slopes = self._over_processes(slopes, rows)
        for weight, slope in zip(self.weights, slopes, strict=True):
            weight.grad = slope
        self.optimizer.step()
        self.optimizer.zero_grad()

    def loss(
        self,
        method: AutoMix,
        images: Tensor,
        targets: Tensor,
        partner: np.ndarray,
        own: np.ndarray,
    ) -> Tensor:
        """The copy's mean cross-entropy on mixed images, and what pulls raw masks to their share.

        Raises:
            UserError: the classifier has other classes than the targets.
        """
        with torch.enable_grad():
            raw = (method.network or self.network)(images, partner, own)
            mask = method.fitted(raw, own)
            pair = torch.from_numpy(partner).to(images.device, non_blocking=True)
            pixels = images.to(next(self.network.encoder.parameters(), images).dtype)
            mixed = mask * pixels + (1 - mask) * pixels.index_select(0, pair)
            blend = Blend.pair(partner, pair_of_shares(1 - own))
            encoder = self.network.encoder
            with evaluating(encoder), unchanged_generators(images.device):
                logits = encoder(mixed)
            entropy = soft_cross_entropy(logits, blend.targets(targets.float())) / len(partner)
            share = torch.from_numpy(own.astype(np.float32)).to(raw.device, non_blocking=True)
            gap = (raw.mean((1, 2, 3)) - share).abs()
            return entropy + self.mask_weight * (gap - self.mask_margin).clamp_min(0).mean()

    def _over_processes(self, slopes: Any, rows: int) -> list[Tensor]:
        """The mean over the rows of all processes, of means over those of each."""
        parts = [rows * slope.flatten() for slope in slopes]
        total = self.reduced(torch.cat([*parts, parts[0].new_full((1,), rows)]))
        mean = total[:-1] / total[-1]
        sizes = [slope.numel() for slope in slopes]
        pieces = zip(mean.split(sizes), slopes, strict=True)
        return [piece.view_as(slope) for piece, slope in pieces]

    def state(self) -> dict[str, Any]:
        """All that a training needs to go on: tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "updates": self.updates,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates = state["updates"]


def own_copy(classifier: nn.Module) -> nn.Module:
    """A copy without gradients, in eval mode, not compiled, in 32 bits or more."""
    copy = deepcopy(classifier)
    for module in copy.modules():
        module.training = False
        module._compiled_call_impl = None
    for values in (*copy.parameters(), *copy.buffers()):
        values.requires_grad_(False)
        if values.is_floating_point() and values.itemsize < 4:
            values.data = values.data.float()
    return copy
