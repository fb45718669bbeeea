"""The backward pass as a walk over the graph: torch's own engine needs a driver for `cuda`."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge


def backward(
    tensors: Any, gradients: Any, *options: Any, accumulate_grad: bool = True, **_: Any
) -> tuple:
    """Add the gradients of `tensors` to their leaves, each node after all that lead to it.

    Or, for `torch.autograd.grad`, return those of its inputs and touch no leaf.
    """
    inputs = () if accumulate_grad else options[2]
    wanted_at = [get_gradient_edge(each) for each in inputs]
    found_at: dict[tuple[Any, int], Tensor] = {}
    given: dict[Any, dict[int, Tensor]] = defaultdict(dict)
    waits: dict[Any, int] = defaultdict(int)
    roots = [tensor.grad_fn for tensor in tensors]
    seen, stack = set(roots), list(roots)
    while stack:
        for node, _ in stack.pop().next_functions:
            if node is not None:
                waits[node] += 1
                if node not in seen:
                    seen.add(node)
                    stack.append(node)
    for root, gradient in zip(roots, gradients, strict=True):
        given[root][0] = gradient
    ready = [root for root in roots if not waits[root]]
    with torch.no_grad():
        while ready:
            node = ready.pop()
            arrived = given.pop(node, {})
            found_at.update({(node, number): each for number, each in arrived.items()})
            if not accumulate_grad and hasattr(node, "variable"):
                continue
            found = applied(node, arrived)
            for (after, number), gradient in zip(node.next_functions, found, strict=False):
                if after is None:
                    continue
                if gradient is not None:
                    wanted = after._input_metadata[number]
                    gradient = gradient.sum_to_size(wanted.shape).to(wanted.dtype)
                    before = given[after].get(number)
                    given[after][number] = gradient if before is None else before + gradient
                waits[after] -= 1
                if not waits[after]:
                    ready.append(after)
    return tuple(found_at[edge.node, edge.output_nr] for edge in wanted_at)


def applied(node: Any, given: dict[int, Tensor]) -> tuple:
    """The gradients of a node's inputs; a leaf keeps its own."""
    if not given:
        return (None,) * len(node.next_functions)
    if hasattr(node, "variable"):
        leaf = node.variable
        leaf.grad = given[0] if leaf.grad is None else leaf.grad + given[0]
        return ()
    call = getattr(node, "apply", node)  # of a function that is written in Python
    result = call(*(given.get(number) for number in range(len(node._input_metadata))))
    return result if isinstance(result, tuple) else (result,)
