"""The protocol of mixing methods, and what several of them share."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from torch import Tensor

from mixlab.errors import UserError
from mixlab.mixing.blend import Blend


class NoPicture(UserError):
    """Rows without height and width, for a method that needs them."""


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

        `partners` is (B,) or (B, num_partners or more) int64. By default they are permutations of
        all rows, or what a method with `pairs_rows = True` finds: that is `partners=by_method`.
        """
        ...


def check_callback(method: Method, callback: object) -> None:
    """Raise UserError if `method`, or one that it chooses from, needs another kind of callback.

    A method names the class of `mixlab.callbacks` that completes it in its attribute `callback`.
    What is no method at all is refused, too.
    """
    if isinstance(method, type):
        raise UserError(f"give {method.__name__}(...), an object, not the class")
    if not callable(method):
        raise UserError(f"method must be an object such as CutMix(alpha=1.0), got {method!r}")
    for each in (method, *getattr(method, "methods", ())):
        needed = getattr(each, "callback", None)
        if needed and needed not in (kind.__name__ for kind in type(callback).__mro__):
            raise UserError(
                f"{type(each).__name__} needs the network at hand in each training step; use "
                f"mixlab.callbacks.{needed} in place of {type(callback).__name__} (on the command "
                f"line, mixing._target_=mixlab.callbacks.{needed})"
            )


def own_shares(alpha: float, rng: np.random.Generator, num_draws: int) -> np.ndarray:
    """(num_draws,) float64 from Beta(alpha, alpha): what a row keeps of itself."""
    return rng.beta(alpha, alpha, size=num_draws)


def picture_size(images: Tensor, name: str) -> tuple[int, int]:
    """Height and width of (R, C, ..., H, W) images; the method called `name` refuses others."""
    if images.ndim < 4:
        shape = tuple(images.shape)
        remedy = "use Mixup (mixing=mixup)"
        if images.ndim == 3:
            remedy += ", for signals also SignalCutMix, for point clouds PointMixup"
        raise NoPicture(f"{name} needs rows x channels x height x width, got {shape}; {remedy}")
    return images.shape[-2], images.shape[-1]


def differing_labels(methods: Iterable[Method]) -> str | None:
    """The `label_differs` of `methods`, joined."""
    return "; ".join(each.label_differs for each in methods if each.label_differs) or None
