"""The protocol of mixing methods, and what several of them share."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from torch import Tensor

from mixlab.errors import UserError
from mixlab.mixing.blend import Blend


class Method(Protocol):
    """One way of mixing. Any object of this shape is one; nothing is inherited or registered."""

    @property
    def num_partners(self) -> int:
        """Columns of `partners` that it uses."""
        ...

    @property
    def label_differs(self) -> str | None:
        """None where the label is the mean of the mask; else a sentence that describes it."""
        ...

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """Draw a blend of B rows for (R, ...) float images and (R, C) float targets, R >= B.

        `partners` is (B,) or (B, num_partners or more) int64; by default permutations of all rows.
        """
        ...


def own_shares(alpha: float, rng: np.random.Generator, num_draws: int) -> np.ndarray:
    """(num_draws,) float64 from Beta(alpha, alpha): what a row keeps of itself."""
    return rng.beta(alpha, alpha, size=num_draws)


def picture_size(images: Tensor, name: str) -> tuple[int, int]:
    """Height and width of (R, C, ..., H, W) images; the method called `name` refuses others."""
    if images.ndim < 4:
        shape = tuple(images.shape)
        raise UserError(f"{name} needs rows x channels x height x width, got {shape}; use Mixup")
    return images.shape[-2], images.shape[-1]


def differing_labels(methods: Iterable[Method]) -> str | None:
    """The `label_differs` of `methods`, joined."""
    return "; ".join(each.label_differs for each in methods if each.label_differs) or None
