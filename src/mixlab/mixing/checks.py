"""Checks of what a config hands over: YAML gives strings, None and bools as readily as numbers."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from mixlab.errors import UserError


def positive(name: str, value: Any, remedy: str) -> None:
    """Raise ValueError unless `value` is a finite number > 0."""
    if not _is_number(value) or value <= 0:
        raise UserError(f"{name} must be a number > 0, got {value!r}; {remedy}")


def fraction(name: str, value: Any, remedy: str, *, zero: bool = True) -> None:
    """Raise ValueError unless `value` is a number in [0, 1], or in (0, 1] with `zero=False`."""
    if not _is_number(value) or not 0 <= value <= 1 or (value == 0 and not zero):
        interval = "[0, 1]" if zero else "(0, 1]"
        raise UserError(f"{name} must be a number in {interval}, got {value!r}; {remedy}")


def flag(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise UserError(f"{name} must be true or false, got {value!r}; write it without quotes")


def whole(name: str, value: Any, least: int, remedy: str) -> None:
    """Raise ValueError unless `value` is a whole number >= `least`."""
    if type(value) is not int or value < least:
        raise UserError(f"{name} must be a whole number >= {least}, got {value!r}; {remedy}")


def choice(name: str, value: Any, allowed: tuple[int, ...]) -> None:
    """Raise ValueError unless `value` is one of the whole numbers `allowed`."""
    if type(value) is not int or value not in allowed:
        numbers = " or ".join(str(each) for each in allowed)
        raise UserError(f"{name} must be {numbers}, got {value!r}; choose one")


def methods(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is a list of one or more mixing methods."""
    methodical = _is_list(value) and all(hasattr(each, "num_partners") for each in value)
    if not methodical or not value:
        remedy = "give each as a node with a _target_"
        raise UserError(f"{name} must be a list of mixing methods, got {value!r}; {remedy}")


def weights(name: str, value: Any, count: int) -> None:
    """Raise ValueError unless `value` is None or `count` numbers >= 0, not all of them 0."""
    if value is None:
        return
    numerical = _is_list(value) and all(_is_number(each) and each >= 0 for each in value)
    if not numerical or len(value) != count or not any(value):
        wanted = f"{count} numbers >= 0, one for each method and not all 0"
        raise UserError(f"{name} must be {wanted}, got {value!r}; null weighs all the same")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
