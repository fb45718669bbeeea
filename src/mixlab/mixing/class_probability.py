"""A probability of mixing for single classes: `{cat: 0.2, 3: 1.0}`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from mixlab.checks import FRACTION, did_you_mean
from mixlab.errors import UserError
from mixlab.mixing.partners import classes

ClassProbability = Mapping[Any, float]  # by number, or by name until the names are known


def check_class_probability(spec: Any) -> None:
    """Raise UserError unless it maps classes to numbers in [0, 1]."""
    if not isinstance(spec, Mapping) or not spec:
        wanted = "a probability for each of some classes, as {cat: 0.2, 3: 1.0}"
        raise UserError(f"class_probability must be {wanted}, got {spec!r}; null treats all alike")
    for name, probability in spec.items():
        FRACTION.check(f"class_probability.{name}", probability)


def by_number(spec: ClassProbability, class_names: Sequence[str]) -> dict[int, float]:
    """The probabilities by class number; a key is a class's name, or else its number.

    Raises:
        UserError: a class that there is not, or one that is given twice.
    """
    found: dict[int, float] = {}
    for key, probability in spec.items():
        number = class_number(key, class_names)
        if number in found:
            raise UserError(f"mixing.class_probability has {class_names[number]} twice; give one")
        found[number] = probability
    return found


def class_number(key: Any, class_names: Sequence[str]) -> int:
    """The number of a class by its name or number."""
    if str(key) in class_names:
        return class_names.index(str(key))
    if type(key) is int and 0 <= key < len(class_names):
        return key
    near = () if str(key).lstrip("-").isdigit() else class_names  # a number is no slip of another
    hint = did_you_mean(key, near, "give a name or a number")
    raise UserError(
        f"mixing.class_probability has the class {key!r}, which is not one of the "
        f"{len(class_names)} classes, {class_names[0]} to {class_names[-1]}{hint}"
    )


def row_probabilities(spec: ClassProbability, others: float, targets: Tensor) -> np.ndarray:
    """(B,) the probability of each row by its class, the largest target; waits for a GPU.

    Args:
        others: of the classes that `spec` has no number of.
        targets: (B, C) float.
    """
    if targets.ndim != 2:
        shape = tuple(targets.shape)
        raise UserError(f"class_probability needs a class a row, got targets of shape {shape}")
    table = np.full(targets.shape[1], others)
    for number, probability in spec.items():
        if type(number) is not int or not 0 <= number < len(table):
            raise UserError(
                f"class_probability must have class numbers from 0 to {len(table) - 1} here, got "
                f"{number!r}; names are known of mixlab's data module alone"
            )
        table[number] = probability
    return table[classes(targets, "mixing.class_probability", "use mixing.probability")]
