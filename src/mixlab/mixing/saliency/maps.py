"""The protocol of saliencies, and what they share."""

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlab.errors import UserError


class Saliency(Protocol):
    """Where a picture matters. One that looks at a network has `bind(network)`, see `bind`."""

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """(R, H, W) float32 maps >= 0, each summing to one, on the device of the images.

        For (R, C, ..., H, W) float images and (R, C) float targets.
        """
        ...


def maps_of(saliency: Saliency, images: Tensor, targets: Tensor, rows: np.ndarray) -> Tensor:
    """(B, H, W): the maps of the rows (B,) int64 of `images`; waits for no GPU.

    Raises UserError where the saliency returns anything of another shape.
    """
    index = torch.from_numpy(rows).to(images.device, non_blocking=True)
    maps = saliency(images.index_select(0, index), targets.index_select(0, index))
    wanted = (len(rows), *images.shape[-2:])
    if not isinstance(maps, Tensor) or maps.shape != wanted:
        got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise UserError(
            f"{type(saliency).__name__} returned {got}; a saliency returns a map of height x width "
            f"for each row, here {wanted}"
        )
    return maps


def normalized(maps: Tensor) -> Tensor:
    """`maps` (R, H, W) in float32, each summing to one; uniform where there is nothing to see."""
    maps = maps.detach().float().nan_to_num(0.0, 0.0, 0.0).clamp_min(0)
    peak = maps.amax((1, 2), keepdim=True)
    seen = peak > 0
    scaled = maps / torch.where(seen, peak, 1)  # or the sum of small numbers would vanish
    scaled = torch.where(seen, scaled, 1)
    return scaled / scaled.sum((1, 2), keepdim=True)


def smoothed(maps: Tensor, sigma: float, cutoff: float = 3.0) -> Tensor:
    """`maps` (R, H, W) under a Gaussian of `sigma` pixels, cut off at `cutoff` times as many."""
    reach = round(cutoff * sigma)
    if reach == 0:
        return maps
    distance = torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype)
    weight = torch.exp(-0.5 * (distance / sigma).square())
    rows = len(maps)  # as channels, each with its own filter: a fraction of the time on a CPU
    weight = (weight / weight.sum()).expand(rows, 1, 1, -1)
    padded = F.pad(maps[None], [reach] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, weight.mT, groups=rows), weight, groups=rows)[0]


def given_network(saliency: object, network: nn.Module | None) -> nn.Module:
    """The network of a saliency; raises UserError where there is none."""
    if network is None:
        name = type(saliency).__name__
        raise UserError(
            f"{name} looks at the network being trained and was given none; use MixingCallback, "
            "Mixer(network=net, ...) or bind(method, net), or saliency=SpectralResidual(), which "
            "needs no network"
        )
    return network
