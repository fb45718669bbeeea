"""Refuse a way of mixing that a network of ours cannot serve, before there is a run folder.

What a class of ours lacks is known by its name. Other networks, and what depends on their settings
or on the size of the images, are refused by the training alone.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.config.build import build
from mixlab.config.network_words import no_class_token, ruled_out_by_compile
from mixlab.errors import UserError

NETWORKS = "mixlab.models.networks."
# What reaches into the network in each step: a callback of ours, and how a message calls it.
REACHING = {
    "AttentionMixingCallback": "mixing by attention",
    "ActivationMixingCallback": "mixing by activation",
    "HiddenMixingCallback": "hidden mixing",
}
WITHOUT_PICTURES = ("CNN1d", "MLP", "PointNet")  # whose features have no height and width
TRIAL_FEATURES = (2, 8)  # rows and features


def check_network(cfg: DictConfig, mixing: Mapping[str, Any]) -> None:
    """Raise UserError if a network of ours cannot serve the callback of `mixing`, one of ours."""
    callback = str(mixing["_target_"]).removeprefix("mixlab.callbacks.")
    network = our_network(cfg)
    is_hidden = callback == "HiddenMixingCallback"
    reaches = callback in REACHING and not (is_hidden and mixes_input(mixing))
    if network is None or not reaches:
        return
    if OmegaConf.select(cfg, "model.compile") is True and network != "Timm":
        raise UserError(ruled_out_by_compile(REACHING[callback]))
    if callback == "AttentionMixingCallback" and network != "Timm":
        raise UserError(no_class_token(network))


def our_network(cfg: DictConfig) -> str | None:
    """The class of a network of ours in a model of ours; else None."""
    model, network = (str(OmegaConf.select(cfg, f"model.{k}_target_")) for k in ("", "network."))
    ours = model.startswith("mixlab.models.") and network.startswith(NETWORKS)
    return network.removeprefix(NETWORKS) if ours else None


def mixes_input(mixing: Mapping[str, Any]) -> bool:
    """Whether a callback that mixes features mixes the images alone."""
    return [str(layer) for layer in mixing.get("layers") or ()] == ["input"]


def check_features(cfg: DictConfig, mixing: Mapping[str, Any]) -> None:
    """Raise UserError if a method of ours needs height and width, which the features do not have.

    The training names the layer and its shape, too.
    """
    network = our_network(cfg)
    need = picture_need(json.dumps(mixing["method"])) if network in WITHOUT_PICTURES else None
    if need is not None:
        raise UserError(
            f"{need}, which the features of {network} do not have; use mixing=manifold_mixup"
        )


@lru_cache(maxsize=256)  # arms of a sweep differ in much that is not asked here
def picture_need(method: str) -> str | None:
    """What the method of a node, as JSON, says of features without height and width; else None."""
    import numpy as np
    import torch

    from mixlab.mixing.given_maps import without_network
    from mixlab.mixing.methods.method import NoPicture

    bare = without_network(build(json.loads(method)), torch.Generator().manual_seed(0))
    try:
        bare(torch.zeros(TRIAL_FEATURES), torch.eye(2), np.random.default_rng(0))
    except NoPicture as error:
        return str(error).partition(", got")[0]
    except UserError:  # which the training may say of other rows, or not
        return None
    return None
