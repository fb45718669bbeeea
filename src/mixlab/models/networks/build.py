"""A network from its configuration node, told what it asks for, and tried on one image."""

import inspect
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from mixlab.config.allowlist import locate
from mixlab.config.build import build, check_complete
from mixlab.data.spec import DataSpec, ImageSpec
from mixlab.errors import Caution, UserError


def build_network(
    node: Mapping[str, Any] | None, spec: DataSpec, allow: Iterable[str] = ()
) -> nn.Module:
    """The network that a node describes: images (B, C, H, W), or other rows, to logits.

    Its constructor gets those of `spec`, `num_classes`, `in_channels` and `in_chans` that it names.
    If it names none of them, its first argument without a default is the spec.

    Raises:
        UserError: there is no network, or it does not give one number for each class.
    """
    if not node or node.get("_target_") is None:
        raise UserError("model.network has no _target_; give model.network._target_=mylab.MyNet")
    target = node["_target_"]
    parameters = inspect.signature(locate(target, allow)).parameters
    for each in parameters.values():
        if each.annotation is ImageSpec and not isinstance(spec, ImageSpec):
            raise UserError(
                f"{target} takes images, and the data have {spec.words}; use model=mlp for tables "
                "and embeddings, cnn1d for signals, pointnet for point clouds"
            )
    offered = {
        "spec": spec,
        "num_classes": spec.num_classes,
        "in_channels": spec.channels,
        "in_chans": spec.channels,
    }
    given = {key: value for key, value in offered.items() if key in parameters and key not in node}
    required = [
        name
        for name, each in parameters.items()
        if each.kind is each.POSITIONAL_OR_KEYWORD and each.default is each.empty
    ]
    if not given and required and required[0] not in node:
        given = {required[0]: spec}
    other = ", or name it num_classes, in_channels or spec to be given that of the data"
    check_complete("model.network", node, locate(target, allow), given, other)
    network = build(node, allow=allow, **given)
    if not isinstance(network, nn.Module):
        raise UserError(f"model.network: {target} is not a torch.nn.Module")
    check_output(network, spec, target)
    return network


def check_output(network: nn.Module, spec: DataSpec, target: str) -> None:
    """Raise UserError unless the network gives one number for each class, or each for each pixel.

    An error of the network's own code stays what it is.
    """
    if type(network).forward is nn.Module.forward:
        raise UserError(f"{target} has no forward(self, images); it returns the logits")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        logits = network.eval()(torch.zeros(2, *spec.shape))
    network.train()
    classes, shape = spec.num_classes, getattr(logits, "shape", None)
    if shape is None:
        raise UserError(f"{target} returns a {type(logits).__name__}; return one tensor of logits")
    pixels = spec.shape[1:] if isinstance(spec, ImageSpec) else ()
    if shape not in [(2, classes), (2, classes, *pixels)]:
        what = "images" if pixels else "rows"
        raise UserError(
            f"{target} turns {what} of shape {(2, *spec.shape)} into {tuple(shape)}; with "
            f"{classes} classes it has to return (2, {classes}). If its constructor takes "
            "num_classes, it is told the number; leave it out of the settings"
        )
    if (logits >= 0).all() and (logits.float().sum(1) - 1).abs().max() < 1e-4:
        warnings.warn(
            f"{target} seems to end in a softmax: what it returns sums to 1. The losses take "
            "logits, so leave the softmax out",
            category=Caution,
            stacklevel=2,
        )
