"""Sequence: several methods one after another, each on the result of the one before."""

from collections import abc
from dataclasses import dataclass, replace
from functools import partial, reduce

import numpy as np
from torch import Tensor, nn

from mixlab import checks
from mixlab.mixing.binding import bind
from mixlab.mixing.blend import Blend
from mixlab.mixing.combine import compose
from mixlab.mixing.methods.method import Method, differing_labels
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class Sequence:
    """Applies methods in order; itself a method.

    Partners are mixed too before they are used: two methods with one partner feed a row from four.

    Every method gets the unmixed images and targets, and guests reach each of them unmixed.

    Draws: what each of the methods draws, each with partners of its own.
    Label: each method weighs the label that the one before it made.
    Avoid: where weak mixing is wanted: every method takes its share of what is left of a row.

    Attributes:
        methods: at least one.
    """

    methods: abc.Sequence[Method]

    def __post_init__(self) -> None:
        checks.check_fields(self, methods=checks.METHODS)

    @property
    def num_partners(self) -> int:
        """Every method has partners of its own."""
        return sum(method.num_partners for method in self.methods)

    @property
    def label_differs(self) -> str | None:
        """The sentences of the methods."""
        return differing_labels(self.methods)

    def bind(self, network: nn.Module) -> "Sequence":
        """A copy whose methods look at `network`."""
        return replace(self, methods=[bind(method, network) for method in self.methods])

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; the columns of `partners` go to the methods in order."""
        columns = partner_columns(partners, images, rng, self.num_partners)
        ends = np.cumsum([method.num_partners for method in self.methods])
        shares = np.split(columns, ends[:-1], axis=1)
        blends = [
            method(images, targets, rng, share)
            for method, share in zip(self.methods, shares, strict=True)
        ]
        return reduce(partial(compose, device=images.device), blends)
