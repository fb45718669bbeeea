"""For a picture of a method that looks at the network being trained: one before its training."""

from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from mixlab.config.build import plain
from mixlab.data.spec import DataSpec, ImageSpec
from mixlab.errors import UserError
from mixlab.mixing.binding import bind, needs_network
from mixlab.models.networks.build import build_network


def with_untrained(method: Any, cfg: DictConfig, images: Tensor, classes: Sequence[Any]) -> Any:
    """`method`, bound to `cfg.model` with the initial weights of `cfg.seed` where it needs one.

    The network is sized by images (B, C, H, W), or other rows, and one name for each class. Where
    it takes none of those rows, the method stays as it is and says which rows it needs itself.
    """
    if not needs_network(method):
        return method
    try:
        network = untrained(cfg, images, classes)
    except UserError:
        if images.ndim == 4:
            raise
        return method
    return bind(method, network)


def untrained(cfg: DictConfig, images: Tensor, classes: Sequence[Any]) -> nn.Module:
    """The network of `cfg.model` with the initial weights of `cfg.seed`, sized as above."""
    shape, names = tuple(images.shape[1:]), tuple(map(str, classes))
    spec = ImageSpec(*shape, names) if len(shape) == 3 else DataSpec(shape, names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        return build_network(plain(cfg.model).get("network"), spec, cfg.get("allow", ()))
