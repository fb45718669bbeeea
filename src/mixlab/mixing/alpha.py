"""The alpha of a method as a function of the progress of training."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from mixlab.checks import POSITIVE, several
from mixlab.errors import UserError
from mixlab.mixing.methods.method import Method
from mixlab.mixing.schedule import FALLING, Schedule

AlphaSchedule = Mapping[str, Sequence[float]]


def alpha_from(spec: Any) -> Schedule:
    """The alpha at a progress in [0, 1]: `{linear: [0.1, 1.0]}` or `{cosine: [0.1, 1.0]}`.

    From the first number at the start to the second at the end, along a line or half a cosine.
    """
    name = next(iter(spec)) if isinstance(spec, Mapping) and len(spec) == 1 else None
    if name not in FALLING or not several(POSITIVE, 2).contains(spec[name]):
        wanted = " or ".join(f"{{{each}: [0.1, 1.0]}}" for each in FALLING)
        raise UserError(
            f"alpha_schedule must be {wanted}, two numbers above 0, got {spec!r}; null keeps alpha"
        )
    (first, last), falling = spec[name], FALLING[name]

    def alpha(progress: float) -> float:
        left = falling(progress)
        return first * left + last * (1 - left)

    return alpha


def with_alpha(method: Method, alpha: float) -> Method:
    """The method with another alpha; that of the method in it, where it only wraps one.

    Raises:
        UserError: it has no alpha, or several methods with one each.
    """
    found: Any = method
    names = field_names(method)
    if "alpha" in names:
        return replace(found, alpha=alpha)
    if "method" in names:
        return replace(found, method=with_alpha(found.method, alpha))
    kind = type(method).__name__
    if "methods" in names:
        raise UserError(
            f"mixing.alpha_schedule needs one alpha, and {kind} has several methods; use one of "
            "them alone, or change how often all of them mix with mixing.schedule"
        )
    raise UserError(
        f"mixing.alpha_schedule needs a method with alpha, and {kind} has none; use mixing.schedule"
    )


def field_names(method: object) -> set[str]:
    """The knobs of a method that is a dataclass."""
    return {each.name for each in fields(method)} if is_dataclass(method) else set()
