"""Partner rules that ask the network: by distance in its features, or by what it confuses."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn

from mixlab.mixing.partners import (
    CONFUSABLE,
    NETWORK_RULES,
    by_distance,
    classes,
    warn_of_one_class,
)
from mixlab.mixing.undisturbed import evaluating, unchanged_generators


@dataclass(frozen=True, eq=False)
class ByFeatures:
    """The other row at the smallest or largest Euclidean distance in the network's features.

    It waits for a GPU, and costs a forward pass over the rows.

    Attributes:
        network: on the device of the rows.
        far: whether the largest distance is wanted.
    """

    network: nn.Module
    far: bool = False

    def __call__(
        self, images: Tensor, targets: Tensor, rng: Generator, num_rows: int, column: int = 0
    ) -> np.ndarray:
        """As a rule of `mixlab.mixing.partners`."""
        return by_distance(features(self.network, images), num_rows, column, self.far)

    def columns(
        self, images: Tensor, targets: Tensor, rng: Generator, num_rows: int, count: int
    ) -> list[np.ndarray]:
        """The nearest or farthest row, the next, and so on, from one forward pass."""
        found = features(self.network, images)
        return [by_distance(found, num_rows, column, self.far) for column in range(count)]


@dataclass(frozen=True, eq=False)
class Confusable:
    """A row of another class, the likelier the more often the network takes one for the other.

    A row's chance is the number of times that its class and the class of the row were confused, in
    either direction. Where the batch has no row of a class that was confused, and before anything
    was counted, all rows of other classes are equally likely. It waits for a GPU.

    Attributes:
        counts: (C, C), true class by predicted class; None before anything was counted.
    """

    counts: np.ndarray | None = None

    def __call__(
        self, images: Tensor, targets: Tensor, rng: Generator, num_rows: int
    ) -> np.ndarray:
        """As a rule of `mixlab.mixing.partners`; always draws the same amount."""
        labels = classes(targets, "partners=confusable")
        warn_of_one_class(labels, CONFUSABLE)
        weight = (labels[:num_rows, None] != labels).astype(np.float64)
        if self.counts is not None:
            confused = (self.counts + self.counts.T)[labels[:num_rows, None], labels] * weight
            weight = np.where(confused.any(1, keepdims=True), confused, weight)
        return weighted_choice(weight, rng)


def weighted_choice(weight: np.ndarray, rng: Generator) -> np.ndarray:
    """One column for each row of `weight` (B, R) >= 0, in proportion; the row itself if all are 0.

    By the smallest of exponential numbers, whose rates are the weights.
    """
    wait = -np.log1p(-rng.random(weight.shape))
    with np.errstate(divide="ignore", invalid="ignore"):
        wait = np.where(weight > 0, wait / weight, np.inf)
    none = ~(weight > 0).any(1)
    return np.where(none, np.arange(len(weight)), wait.argmin(1))


def bind_rule(spec: object, network: nn.Module, counts: np.ndarray | None = None) -> object:
    """The rule that a name of `NETWORK_RULES` stands for; anything else unchanged.

    Args:
        counts: for `confusable`, see `Confusable`.
    """
    if not isinstance(spec, str) or spec not in NETWORK_RULES:
        return spec
    return Confusable(counts) if spec == CONFUSABLE else ByFeatures(network, "farthest" in spec)


def features(network: nn.Module, images: Tensor) -> Tensor:
    """(R, F): what enters the network's last linear layer, or its output if there is none.

    In eval mode, without gradient, uncompiled. The network is left as it was: its mode, module by
    module, its running statistics and all random states.
    """
    layers = [each for each in network.modules() if isinstance(each, nn.Linear)]
    taken: list[Tensor] = []
    hooks = [
        each.register_forward_pre_hook(lambda _, x: taken.append(x[0])) for each in layers[-1:]
    ]
    try:
        output = predicted(network, images)
    finally:
        for hook in hooks:
            hook.remove()
    return (taken[-1] if taken else output).flatten(1)


def predicted(network: nn.Module, images: Tensor) -> Tensor:
    """The output for float images (R, ...), in eval mode and without gradient; see `features`."""
    dtypes = [each.dtype for each in network.parameters() if each.is_floating_point()]
    with evaluating(network), unchanged_generators(images.device), torch.no_grad():
        return network.forward(images.to(dtypes[0]) if dtypes else images)
