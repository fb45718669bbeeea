"""A forward pass that leaves no trace, to see what the layers of a network give."""

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from mixlab.errors import UserError
from mixlab.mixing.undisturbed import evaluating, unchanged_generators


def layer_outputs(
    module: nn.Module, layers: Mapping[str, nn.Module], images: Tensor, precision: Any = None
) -> dict[str, Tensor]:
    """What layers give for `images` (B, ...), by name: tensors (B, ...).

    In eval mode and without gradients: no random number is drawn, no running statistic moves.

    Args:
        module: is called with the images.
        layers: of the module, by name.
        precision: Lightning's precision plugin; None computes in the dtype of the images.

    Raises:
        UserError: a layer does not run, or does not give one tensor with a row for each image.
    """
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        for name, layer in layers.items():
            hook = layer.register_forward_hook(_noting(found, name))
            stack.callback(hook.remove)
        stack.enter_context(evaluating(module))
        stack.enter_context(unchanged_generators(images.device))
        stack.enter_context(torch.no_grad())
        stack.enter_context(precision.forward_context() if precision else nullcontext())
        module(precision.convert_input(images) if precision else images)
    for name in layers:
        _check_rows(name, found.get(name), len(images))
    return found


def _noting(found: dict[str, Any], name: str) -> Any:
    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        found[name] = output

    return note


def _check_rows(name: str, output: Any, num_rows: int) -> None:
    if output is None:
        raise UserError(f"layer {name} does not run in the network's forward; choose another")
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        raise UserError(f"layer {name} gives a {kind}, not one tensor; choose another")
    if output.ndim < 2 or len(output) != num_rows:
        shape = tuple(output.shape)
        raise UserError(
            f"layer {name} gives {shape} for {num_rows} images, not a row for each; choose another"
        )
