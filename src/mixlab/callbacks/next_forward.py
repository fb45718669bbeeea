"""A hook for one training step: it acts in the next forward pass, and is removed after it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixlab.errors import UserError


@dataclass(eq=False)
class NextForward:
    """Hands what a layer gives in the next forward pass to `change`.

    It is made before a training step and removed after it, so that no other stage meets it, and no
    copy of the module has it. With gradient checkpointing the layer computes again in the backward
    pass; what was changed is then changed again.

    Attributes:
        layer: of the network.
        change: gets the layer's output (B, ...), and returns what replaces it, or None.
        name: of the layer, for messages.
        ran, changes: whether the layer has run, and whether its output was replaced.

    Raises UserError if the layer runs twice in one step: the second pass would have the labels of
    the first.
    """

    layer: nn.Module
    change: Callable[[Tensor], Tensor | None]
    name: str
    ran: bool = False
    changes: bool = False

    def __post_init__(self) -> None:
        self._handle = self.layer.register_forward_hook(self)

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
        if module is not self.layer:
            return None  # of a copy that was made during the step
        if in_backward():
            return self.change(output) if self.changes else None
        if self.ran:
            if not self.changes:
                return None  # it was only looked at
            raise UserError(
                f"layer {self.name} ran twice in one training step, and a batch is mixed in one "
                "forward pass; choose another layer, or mixing.layers=[input]"
            )
        self.ran = True
        changed = self.change(output)
        self.changes = changed is not None
        return changed

    def remove(self) -> None:
        """Take the hook off the layer."""
        self._handle.remove()


def in_backward() -> bool:
    """Whether autograd computes gradients at this moment, in this thread."""
    return torch._C._current_graph_task_id() != -1
