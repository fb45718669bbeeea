"""Checks of an augmentation's knobs, which hold whatever YAML says."""

import difflib
from collections.abc import Sequence
from math import inf
from typing import Any

from mixlab.errors import UserError


def number(name: str, value: Any, low: float, high: float) -> None:
    """Raise ValueError unless `value` is a number in [low, high]."""
    if not is_number(value) or not low <= value <= high:
        raise UserError(f"augmentation.{name} must be a number in [{low}, {high}], got {value!r}")


def span(name: str, value: Any, low: float, high: float) -> None:
    """Raise ValueError unless `value` is a pair of numbers, low <= first <= second <= high."""
    pair = is_list(value) and len(value) == 2 and all(map(is_number, value))
    if not pair or not low <= value[0] <= value[1] <= high:
        raise UserError(
            f"augmentation.{name} must be [lowest, highest], both in [{low}, {high}], got {value!r}"
        )


def whole(name: str, value: Any, low: int, high: int) -> None:
    """Raise ValueError unless `value` is a whole number in [low, high]."""
    if type(value) is not int or not low <= value <= high:
        raise UserError(
            f"augmentation.{name} must be a whole number from {low} to {high}, got {value!r}"
        )


def flag(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise UserError(f"augmentation.{name} must be true or false, got {value!r}")


def word(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of the words `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        nearest = difflib.get_close_matches(str(value), allowed, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise UserError(
            f"augmentation.{name} must be one of {', '.join(allowed)}, got {value!r}{hint}"
        )


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def augmentations(value: Any) -> None:
    """Raise ValueError unless `value` is a list of one or more augmentations."""
    if not is_list(value) or not value or not all(hasattr(each, "kinds") for each in value):
        raise UserError(
            f"augmentation.augmentations must be a list of augmentations, got {value!r}; give each "
            "as a node with a _target_"
        )


def weights(value: Any, count: int) -> None:
    """Raise ValueError unless `value` is None or `count` numbers >= 0, not all of them 0."""
    if value is None:
        return
    numerical = is_list(value) and all(is_number(each) and 0 <= each < inf for each in value)
    if not numerical or len(value) != count or not any(value):
        raise UserError(
            f"augmentation.weights must be {count} numbers >= 0, one for each augmentation and not "
            f"all 0, got {value!r}; null weighs all the same"
        )
