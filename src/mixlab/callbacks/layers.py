"""The layers of a network by name: which may be mixed, and which were meant."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from mixlab.checks import did_you_mean
from mixlab.config.network_words import ruled_out_by_compile
from mixlab.errors import UserError

INPUT, LAST_STAGE = "input", "last"


def network_of(module: nn.Module) -> nn.Module:
    """The network of a LightningModule: its attribute `network`, or else the module itself."""
    network = getattr(module, "network", None)
    return network if isinstance(network, nn.Module) else module


def classifier_in(module: nn.Module) -> nn.Module:
    """Images to logits: the network of a model of ours, or a LightningModule of anybody's."""
    return network_of(module) if getattr(module, "forward_is_network", False) else module


def feature_layers(network: Any) -> list[str]:
    """The layers that a network names as its stages, from first to last.

    Ours name them in `feature_layers`, those of timm in `feature_info`.
    """
    names = getattr(network, "feature_layers", None)
    if names is None:
        info = getattr(network, "feature_info", None)
        names = [each["module"] for each in info] if isinstance(info, list) else []
    known = dict(network.named_modules())
    return [name for name in names if name in known]


def chosen_layers(
    layers: Iterable[Any] | None, module: nn.Module, words: Sequence[str] = (INPUT, LAST_STAGE)
) -> list[str]:
    """The names of the layers to mix at, checked.

    Args:
        layers: names of modules of the network, `input` for the images, `last` for the last of its
            own stages; None for the images and all of its stages.
        module: a LightningModule, or a network.
        words: which of these two an error offers.

    Raises:
        UserError: the network has no such layer, or names no stages and no layer is given.
    """
    network = network_of(module)
    own, known = feature_layers(network), [name for name, _ in network.named_modules() if name]
    wanted = [INPUT, LAST_STAGE] if layers is None else [str(layer) for layer in layers]
    if not wanted:
        raise UserError("layers is an empty list; name a layer, as [input], or null for all stages")
    if LAST_STAGE in wanted and LAST_STAGE not in known and not own:
        name, first = type(network).__name__, first_with_weights(network)
        raise UserError(
            f'{name} does not say which of its layers can be mixed; name some, layers=["input", '
            f'"{first}"] in Python and mixing.layers=[input,{first}] on the command line, or '
            f"[input] alone (it has {some(known)})"
        )
    if layers is None:
        return [INPUT, *own]
    return [checked(name, known, own, network, words) for name in wanted]


def checked(
    name: str,
    known: list[str],
    own: list[str],
    network: nn.Module,
    words: Sequence[str] = (LAST_STAGE,),
) -> str:
    """The name of a layer; raises UserError with the nearest one if there is none of it."""
    if name == INPUT or name in known:
        return name
    if name == LAST_STAGE:
        return own[-1]
    offered = [word for word in words if own or word != LAST_STAGE]
    others = [each for each in own or known if each not in offered]
    hint = did_you_mean(name, [*offered, *known], f"it has {', '.join(offered)}, {some(others)}")
    raise UserError(f"{type(network).__name__} has no layer {name!r}{hint}")


def first_with_weights(network: nn.Module) -> str:
    """The name of the first layer that has weights and no layers of its own."""
    named = ((name, layer) for name, layer in network.named_modules() if name)
    leaves = (name for name, each in named if not [*each.children()] and [*each.parameters()])
    return next(leaves, "conv1")


def some(names: list[str]) -> str:
    """The first names of a list in words."""
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def forward_of(module: nn.Module) -> nn.Module:
    """What takes images: the module itself, or its network if it has no forward of its own."""
    if type(module).forward is not pl.LightningModule.forward:
        return module
    if network_of(module) is module:
        name = type(module).__name__
        raise UserError(f"{name} has no forward(self, images), which tells the shapes; add one")
    return network_of(module)


def layer_of(module: nn.Module, name: str) -> nn.Module:
    """A layer of the network of a LightningModule."""
    return network_of(module).get_submodule(name)


def check_not_compiled(module: nn.Module, what: str) -> None:
    """Raise UserError if a part of the module is compiled, for that fixes what it computes."""
    kinds = (torch._dynamo.OptimizedModule,) if hasattr(torch, "_dynamo") else ()
    compiled = any(
        isinstance(each, kinds) or getattr(each, "_compiled_call_impl", None) is not None
        for each in module.modules()
    )
    if compiled:
        raise UserError(ruled_out_by_compile(what))
