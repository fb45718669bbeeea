"""A pass over a network in training that leaves no trace in the training."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def undisturbed(network: nn.Module, images: Tensor) -> Iterator[Tensor]:
    """Within, `network` is in eval mode, and gradients are recorded whatever is around.

    Yields a copy of `images` (R, ...) in the network's dtype, a leaf without a gradient. Afterward
    each module is in the mode it was in, and torch's generators are where they were. In eval mode
    normalization neither updates its statistics nor talks to other processes. The casts of
    `torch.autocast` are not cached, since not every torch keeps those without a graph apart. To
    touch no gradient of a weight, use `torch.autograd.grad` with other inputs, not `backward`.

    A network on another device is moved to that of the images: only one that is not trained is.
    """
    weight = next(network.parameters(), images)
    if weight.device != images.device:
        network.to(images.device)
    same = unchanged_generators(images.device)  # a network may draw even in eval mode
    recorded = torch.inference_mode(False)
    with evaluating(network), same, _uncached_autocast(images), recorded, torch.enable_grad():
        dtype = weight.dtype if weight.is_floating_point() else images.dtype
        yield images.detach().to(dtype, copy=True)


def recordable(values: Tensor) -> Tensor:
    """`values`, copied if they were made in inference mode, where no gradient can save them."""
    return values.clone() if values.is_inference() else values


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within, the network is in eval mode; each module gets its own mode back."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        for module, _ in modes:
            module.training = False  # not by `eval()`, which a module may override
        yield
    finally:
        for module, training in modes:
            module.training = training


def unchanged_generators(device: torch.device) -> AbstractContextManager[None]:
    """Give torch's generators their state back, those of the CPU and of the device."""
    on_gpu = device.type == "cuda" and torch.cuda.is_available()
    return torch.random.fork_rng([device.index or 0] if on_gpu else [])


def _uncached_autocast(images: Tensor) -> torch.autocast:
    kind = images.device.type
    return torch.autocast(
        kind,
        enabled=torch.is_autocast_enabled(kind),
        dtype=torch.get_autocast_dtype(kind),
        cache_enabled=False,
    )
