"""Maps given to a method that looks, in place of what it would see."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mixlab.mixing.binding import needs_network
from mixlab.mixing.methods.point_mixup import PointMixup
from mixlab.mixing.saliency import Saliency


def looks_at_pictures(method: Any) -> bool:
    """Whether what a method replaces depends on what is in the pictures, or may."""
    if not type(method).__module__.startswith("mixlab."):
        return True
    saliency = getattr(method, "saliency", None)
    own = saliency is not None and not needs_network(saliency)
    return own or any(map(looks_at_pictures, methods_within(method)))


def looker_in(method: Any) -> str | None:
    """The name of a method that looks at what it mixes: this one, or one that it chooses from."""
    is_looking = getattr(method, "saliency", None) is not None
    if is_looking or isinstance(method, PointMixup):
        return type(method).__name__
    return next(filter(None, map(looker_in, methods_within(method))), None)


def methods_within(method: Any) -> list[Any]:
    """The methods that one is made of."""
    return [*getattr(method, "methods", ()), *filter(None, [getattr(method, "method", None)])]


def without_network(method: Any, generator: torch.Generator) -> Any:
    """The method with random maps, drawn from `generator`, where it would look at a network."""

    def random_maps(images: Tensor, targets: Tensor) -> Tensor:
        maps = torch.rand(len(images), *images.shape[-2:], generator=generator, device="cpu")
        return maps / maps.sum((1, 2), keepdim=True)

    return with_maps(method, random_maps, needs_network)


def at_its_most(method: Any) -> Any:
    """The method with maps that peak in the middle, where a box around it is cut off least."""
    return with_maps(method, peak_in_the_middle, lambda _: True)


def peak_in_the_middle(images: Tensor, targets: Tensor) -> Tensor:
    """(R, H, W), each summing to one."""
    height, width = images.shape[-2:]
    down, across = (torch.hann_window(side + 2, periodic=False)[1:-1] for side in (height, width))
    maps = down[:, None] * across
    return (maps / maps.sum()).expand(len(images), height, width)


def with_maps(method: Any, maps: Saliency, wanted: Callable[[Any], bool]) -> Any:
    """The method with `maps` in place of each saliency that is wanted so."""
    if hasattr(method, "methods"):
        parts = [with_maps(part, maps, wanted) for part in method.methods]
        return replace(method, methods=parts)
    if hasattr(method, "method"):
        return replace(method, method=with_maps(method.method, maps, wanted))
    saliency = getattr(method, "saliency", None)
    return method if saliency is None or not wanted(saliency) else replace(method, saliency=maps)
