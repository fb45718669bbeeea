"""Hand the network being trained to the parts of a method that look at it."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, TypeVar

from torch import nn

Bindable = TypeVar("Bindable")


def bind(part: Bindable, network: nn.Module) -> Bindable:
    """A copy of a method, or of a saliency, that uses `network`; itself where it needs none.

    A part that needs a network has `bind(network)`, which returns such a copy.
    """
    made: Any = part
    return made.bind(network) if hasattr(made, "bind") else part


def needs_network(part: Any) -> bool:
    """Whether a method, or anything in it, has no network yet and needs one."""
    if hasattr(part, "bind") and getattr(part, "network", part) is None:
        return True
    return any(needs_network(each) for each in _inside(part))


def _inside(part: Any) -> Iterator[Any]:
    """The parts of a dataclass, those in its lists too."""
    for value in vars(part).values() if is_dataclass(part) else ():
        yield from value if isinstance(value, list | tuple) else [value]
