"""Checks of what a config hands over: YAML gives strings, None, bools and lists as readily as numbers."""

from collections.abc import Sequence
from math import isfinite
from typing import Any


def positive(name: str, value: Any, remedy: str) -> None:
    """Raise ValueError unless `value` is a finite number > 0."""
    if not _is_number(value) or not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a number > 0, got {value!r}; {remedy}")


def fraction(name: str, value: Any, remedy: str, *, zero: bool = True) -> None:
    """Raise ValueError unless `value` is a number in [0, 1], or in (0, 1] with `zero=False`."""
    if not _is_number(value) or not 0 <= value <= 1 or (value == 0 and not zero):
        interval = "[0, 1]" if zero else "(0, 1]"
        raise ValueError(f"{name} must be a number in {interval}, got {value!r}; {remedy}")


def flag(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {value!r}; write it without quotes")


def one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Raise ValueError unless `value` is one of `allowed`, type included (True is not 1)."""
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        choices = ", ".join(str(choice) for choice in allowed)
        raise ValueError(f"{name} must be one of {choices}, got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def methods(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is a non-empty list of mixing methods."""
    listed = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
    if not listed or not all(callable(each) and hasattr(each, "num_partners") for each in value):
        raise ValueError(f"{name} must be a list of mixing methods, at least one, got {value!r}")


def weights(name: str, value: Any, count: int) -> None:
    """Raise ValueError unless `value` is None or `count` numbers >= 0, not all of them 0."""
    if value is None:
        return
    listed = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == count
    if not listed or not all(_is_number(each) and each >= 0 for each in value) or sum(value) <= 0:
        raise ValueError(
            f"{name} must be {count} numbers >= 0, one for each method and not all 0, got {value!r}; "
            "leave it null for equal weights"
        )
