"""What a mixing method is, and the little that several of them share."""

from typing import Protocol

import numpy as np
from torch import Tensor

from mixlab.mixing.blend import Blend


class Method(Protocol):
    """One way of mixing. Any object of this shape will do; there is nothing to inherit or register.

    Attributes:
        num_partners: columns of `partners` that it uses.
        label_differs: None where a row's label is its mean mask, source by source; else one
            sentence that says what the label is instead.
    """

    @property
    def num_partners(self) -> int: ...

    @property
    def label_differs(self) -> str | None: ...

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """Draw a blend of B rows for (R, ...) float images and (R, C) float targets, R >= B.

        `partners` is (B,) or (B, at least num_partners) int64; by default permutations of all rows.
        """
        ...


def own_shares(alpha: float, rng: np.random.Generator, num_draws: int) -> np.ndarray:
    """(num_draws,) float64 from Beta(alpha, alpha): what a row keeps of itself."""
    return rng.beta(alpha, alpha, size=num_draws)


def picture_size(images: Tensor, name: str) -> tuple[int, int]:
    """Height and width of (R, C, ..., H, W) images; ValueError for what has none, says `name`."""
    if images.ndim < 4:
        shape = tuple(images.shape)
        raise ValueError(f"{name} needs rows x channels x height x width, got {shape}; use Mixup")
    return images.shape[-2], images.shape[-1]
