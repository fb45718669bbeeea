"""Schedules: a factor on the probability, from the progress of training in [0, 1]."""

from collections.abc import Callable, Mapping
from math import cos, pi
from typing import Any

from mixlab.checks import ABOVE_0, did_you_mean
from mixlab.errors import UserError

Schedule = Callable[[float], float]


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


def linear(progress: float) -> float:
    """Falls from 1 to 0 along a line."""
    return 1.0 - progress


def cosine(progress: float) -> float:
    """Falls from 1 to 0 along half a cosine: slowly, fast, slowly."""
    return 0.5 * (1.0 + cos(pi * progress))


def off_after(fraction: float) -> Schedule:
    """1 while progress is below `fraction` of the training, in (0, 1], then 0."""
    ABOVE_0.but("0.9 mixes for the first 90 % of training").check("schedule.off_after", fraction)
    return lambda progress: 1.0 if progress < fraction else 0.0


def mean_factor(spec: Any) -> float:
    """The mean of the factor over the training."""
    if isinstance(spec, Mapping):
        return float(spec["off_after"])
    return 1.0 if spec == "constant" else 0.5


FALLING: dict[str, Schedule] = {"linear": linear, "cosine": cosine}
_SCHEDULES: dict[str, Schedule] = {"constant": constant, **FALLING}


def schedule_from(spec: Any) -> Schedule:
    """The schedule of a config: `constant`, `linear`, `cosine` or `{off_after: 0.9}`."""
    if isinstance(spec, str) and spec in _SCHEDULES:
        return _SCHEDULES[spec]
    if isinstance(spec, Mapping) and list(spec) == ["off_after"]:
        return off_after(spec["off_after"])
    wanted = f"{', '.join(_SCHEDULES)} or {{off_after: 0.9}}"
    hint = did_you_mean(spec, _SCHEDULES, "choose one")
    raise UserError(f"schedule must be {wanted}, got {spec!r}{hint}")
