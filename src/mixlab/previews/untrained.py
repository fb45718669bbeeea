"""For a picture of a method that looks at the network being trained: one before its training."""

from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from mixlab.config.build import plain
from mixlab.data.spec import ImageSpec
from mixlab.mixing.binding import bind, needs_network
from mixlab.models.networks.build import build_network


def with_untrained(method: Any, cfg: DictConfig, images: Tensor, classes: Sequence[Any]) -> Any:
    """`method`, bound to `cfg.model` with the initial weights of `cfg.seed` where it needs one.

    The network is sized by images (B, C, H, W) and one name for each class.
    """
    return bind(method, untrained(cfg, images, classes)) if needs_network(method) else method


def untrained(cfg: DictConfig, images: Tensor, classes: Sequence[Any]) -> nn.Module:
    """The network of `cfg.model` with the initial weights of `cfg.seed`, sized as above."""
    channels, height, width = images.shape[1:]
    spec = ImageSpec(channels, height, width, tuple(map(str, classes)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        return build_network(plain(cfg.model).get("network"), spec, cfg.get("allow", ()))
