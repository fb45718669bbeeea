"""The backward pass as a walk over the graph: torch's own engine needs a driver for `cuda`."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor


def backward(tensors: Any, gradients: Any, *_: Any, **__: Any) -> tuple:
    """Add the gradients of `tensors` to their leaves, each node after all that lead to it."""
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
            found = applied(node, given.pop(node, {}))
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
    return ()


def applied(node: Any, given: dict[int, Tensor]) -> tuple:
    """The gradients of a node's inputs; a leaf keeps its own."""
    if not given:
        return (None,) * len(node.next_functions)
    if hasattr(node, "variable"):
        leaf = node.variable
        leaf.grad = given[0] if leaf.grad is None else leaf.grad + given[0]
        return ()
    result = node(*(given.get(number) for number in range(len(node._input_metadata))))
    return result if isinstance(result, tuple) else (result,)
