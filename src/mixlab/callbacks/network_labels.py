"""Labels whose shares the network says: what its attention and its activations have in common."""

from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from mixlab.callbacks.mixing import MixingCallback
from mixlab.callbacks.mixing_checks import check_has_pictures
from mixlab.errors import UserError
from mixlab.mixing import Batch, Blend, MixedBatch
from mixlab.mixing.composed import with_rank
from mixlab.mixing.masks import is_flat, painted, summing_dtype


class NetworkLabels(MixingCallback):
    """Mix as `MixingCallback`; `relabel` then rewrites the targets of the mixed batch in place.

    The shares stay on the device, so that the CPU waits for no GPU; what they add to the logged own
    share is read at the end of an epoch.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.is_ablated:  # the labels would be mixed after all, or not at all
            mix, name = getattr(self.method, "mix", None), type(self).__name__
            raise UserError(f"mix={mix} is not for {name}, whose labels the network weighs; "
                            "use both, or MixingCallback")  # fmt: skip
        self._shift: Tensor | None = None  # (), own shares beyond those of the area

    def learn(self, data: Any, world_size: int) -> None:
        """See `MixingCallback`."""
        check_has_pictures(self.method, data, world_size)
        super().learn(data, world_size)

    def mix(self, batch: Batch) -> MixedBatch:
        """As `MixingCallback.mix`, with shares of the area."""
        if batch.targets.ndim > 2:
            raise UserError("the network weighs one label an image, and masks have one a pixel; "
                            "use mixing=cutmix")  # fmt: skip
        return super().mix(batch)

    def relabel(self, mixed: MixedBatch, share: Tensor) -> None:
        """Mix the targets again, with `share` (B, K) on the device."""
        before, after, blend = mixed
        guests = [before.guests.targets] if before.guests is not None else []
        targets = torch.cat([before.targets, *guests]) if guests else before.targets
        after.targets.copy_(replace(blend, share=share).targets(targets))
        if after.is_repeat:
            return
        source = blend.source.to(share.device, non_blocking=True)
        own = ((source == source[:, :1]) * share).sum(dtype=summing_dtype(share))
        shift = own - blend.own_share.sum()
        self._shift = shift if self._shift is None else self._shift + shift

    def totals(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Tensor:
        """See `MixingCallback`."""
        if self._shift is not None:
            self.counts.add_own(self._shift.item())
        self._shift = None
        return super().totals(trainer, pl_module)


def weighed_shares(blend: Blend, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, K) float32: the sum of each source's mask times `weight`, normalized to sum to one.

    Args:
        blend: drawn for images of `size`, height and width.
        weight: (B, K|1, h, w) >= 0, at each cell of a grid; where it is uniform, shares are those
            of the area.
    """
    mask = cell_mask(blend, weight, size)
    share = (mask * weight).sum((2, 3))
    return share / share.sum(1, keepdim=True).clamp_min(1e-12)


def cell_mask(blend: Blend, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """(B|1, K, h, w): the mean of the mask in each cell of the grid of `weight` (..., h, w)."""
    mask = painted(blend.mask, weight.device)
    grid = (weight.shape[-2], weight.shape[-1])
    if is_flat(mask):
        return mask[:, :, None, None].expand(-1, -1, *grid)
    mask = with_rank(mask, max(4, mask.ndim))  # one of columns alone has no height
    while mask.ndim > 4:  # channels, frames
        mask = mask.mean(2)
    return F.adaptive_avg_pool2d(mask.float().expand(-1, -1, *size), grid)
