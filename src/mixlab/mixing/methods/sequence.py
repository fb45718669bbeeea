"""Sequence: several methods one after another, each on the result of the one before."""

from collections import abc
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
from torch import Tensor

from mixlab.mixing import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.combine import compose
from mixlab.mixing.methods.method import Method
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class Sequence:
    """Applies methods in order; itself a method. CutMix then mixup gives four sources to a row.

    Every method sees the unmixed images and targets, and guests reach each of them unmixed.

    Attributes:
        methods: at least one.
    """

    methods: abc.Sequence[Method]

    def __post_init__(self) -> None:
        checks.methods("methods", self.methods)
        object.__setattr__(self, "methods", tuple(self.methods))

    @property
    def num_partners(self) -> int:
        """Every method has partners of its own."""
        return sum(method.num_partners for method in self.methods)

    @property
    def label_differs(self) -> str | None:
        """What the methods say."""
        said = [method.label_differs for method in self.methods if method.label_differs]
        return "; ".join(said) or None

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; `partners` has the columns of the first method, then of the second..."""
        partners = partner_columns(partners, images, rng, self.num_partners)
        ends = np.cumsum([method.num_partners for method in self.methods])
        blends = [
            method(images, targets, rng, columns)
            for method, columns in zip(self.methods, np.split(partners, ends, axis=1), strict=False)
        ]
        return reduce(partial(compose, device=images.device), blends)
