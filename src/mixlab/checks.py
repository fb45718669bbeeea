"""What knobs may be: one description of each, for configuration files and for the classes.

YAML gives strings, None and bools as readily as numbers. This needs the standard library alone, so
that a bad value is refused before torch is loaded.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mixlab.errors import UserError


@dataclass(frozen=True)
class Allowed:
    """The values that a knob may have.

    Attributes:
        words: what they are, to follow "must be".
        contains: whether a value is one of them.
        choices: the words among them, to find the nearest of.
        remedy: what else to say of a wrong value.
    """

    words: str
    contains: Callable[[Any], bool]
    choices: tuple[str, ...] = ()
    remedy: str = ""

    def or_(self, *others: Any) -> "Allowed":
        """These and a few more, such as None and `auto`."""
        also = " or ".join("null" if other is None else str(other) for other in others)

        def contains(value: Any) -> bool:
            same = any(type(value) is type(other) and value == other for other in others)
            return same or self.contains(value)  # 1 is not True

        return replace(self, words=f"{self.words}, or {also}", contains=contains)

    def but(self, remedy: str) -> "Allowed":
        """The same with a remedy."""
        return replace(self, remedy=remedy)

    def check(self, name: str, value: Any) -> None:
        """Raise UserError unless the knob `name` may have the value."""
        if self.contains(value):
            return
        hint = did_you_mean(value, self.choices, self.remedy)
        raise UserError(f"{name} must be {self.words}, got {value!r}{hint}")


def did_you_mean(word: Any, choices: Iterable[str], otherwise: str = "") -> str:
    """`; did you mean cosine?`, to end a sentence with; `otherwise` where nothing is near."""
    near = difflib.get_close_matches(str(word), [*choices], n=1)
    return f"; did you mean {near[0]}?" if near else f"; {otherwise}" if otherwise else ""


def check_fields(owner: object, place: str = "", /, **fields: Allowed) -> None:
    """Raise UserError for the first field of `owner` that has no allowed value.

    Args:
        place: of the fields in a configuration, to begin the sentence with: `augmentation.`.
    """
    for name, allowed in fields.items():
        allowed.check(f"{place}{name}", getattr(owner, name))


def is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def number(low: float, high: float = math.inf, *, ends: str = "[]") -> Allowed:
    """From `low` to `high`; an end is out where `ends` has a round bracket for it."""
    low_is_in, high_is_in = ends[0] == "[", ends[1] == "]"
    if high == math.inf:
        words = f"a number {'from' if low_is_in else 'above'} {low:g}"
    else:
        words = f"a number in {ends[0]}{low:g}, {high:g}{ends[1]}"

    def contains(value: Any) -> bool:
        if not is_number(value):
            return False
        return (
            (low < value < high) or (value == low and low_is_in) or (value == high and high_is_in)
        )

    return Allowed(words, contains)


def whole(low: int, high: float = math.inf) -> Allowed:
    end = "" if high == math.inf else f" to {high:g}"
    return Allowed(f"a whole number from {low}{end}", lambda n: type(n) is int and low <= n <= high)


def seconds_of(given: Any) -> float | None:
    """`90s`, `5min`, `1h` or a number of seconds, above 0; None for anything else."""
    if isinstance(given, bool):
        return None
    for unit, length in (("min", 60), ("h", 3600), ("s", 1), ("", 1)):
        number = str(given).strip().removesuffix(unit).strip()
        if str(given).strip().endswith(unit) and number.replace(".", "", 1).isdecimal():
            return float(number) * length or None
    return None


def duration(seconds: float) -> str:
    """`90 s`, `5 min`, `1 h`."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def several(one: Allowed, count: int | None = None) -> Allowed:
    def contains(values: Any) -> bool:
        return is_list(values) and count in (None, len(values)) and all(map(one.contains, values))

    return Allowed(f"a list{f' of {count}' if count else ''}, each {one.words}", contains)


def one_of(*choices: str) -> Allowed:
    def contains(value: Any) -> bool:
        return isinstance(value, str) and value in choices

    return Allowed(f"one of {', '.join(choices)}", contains, choices)


def span(low: float, high: float) -> Allowed:
    """Two numbers, the smaller first."""

    def contains(pair: Any) -> bool:
        if not is_list(pair) or len(pair) != 2 or not all(map(is_number, pair)):
            return False
        return low <= pair[0] <= pair[1] <= high

    return Allowed(f"[lowest, highest], both in [{low:g}, {high:g}]", contains)


def instances(attribute: str, what: str) -> Allowed:
    """One or more objects that have an attribute."""

    def contains(values: Any) -> bool:
        return is_list(values) and len(values) > 0 and all(hasattr(x, attribute) for x in values)

    return Allowed(f"a list of {what}", contains, remedy="give each as a node with a _target_")


def weights(count: int) -> Allowed:
    """None, or a weight for each of `count` alternatives."""

    def contains(values: Any) -> bool:
        return is_list(values) and len(values) == count and all(map(from_0, values)) and any(values)

    from_0 = number(0).contains
    return Allowed(f"{count} numbers from 0, not all of them 0", contains).or_(None)


METHODS = instances("num_partners", "mixing methods")
SALIENCY = Allowed(
    "a saliency, as SpectralResidual()",
    lambda value: callable(value) and not isinstance(value, type),
    remedy="give a node with a _target_",
)
NUM_CLASSES = whole(1).or_(None)
SEED = Allowed("an integer from 0 to 2**32 - 1", lambda n: type(n) is int and 0 <= n < 2**32)
KEY = Allowed("a key or a position", lambda key: type(key) in (str, int))
BATCH_KEYS = several(KEY, 2).or_(None)  # of images and targets
LAYERS = (
    several(Allowed("the name of a layer", KEY.contains))
    .or_(None)
    .but("""quote a name that looks like a number, as "7.1" """.strip())
)
FLAG = Allowed("true or false", lambda value: type(value) is bool)
DURATION = Allowed(
    "a time above 0 as 90s, 5min or 1h, or a number of seconds",
    lambda value: seconds_of(value) is not None,
)
POSITIVE = number(0, ends="(]")
FRACTION = number(0, 1)
PROBABILITY = FRACTION.but("0 mixes nothing, 1 everything")
STRENGTH = FRACTION.but("0 mixes nothing; null leaves mixing.probability as it is").or_(None)
BELOW_1 = number(0, 1, ends="[)")
ABOVE_0 = number(0, 1, ends="(]")
# What files are checked for before the classes that take it are loaded.
CHANNELS = Allowed("3 (color) or 1 (gray)", lambda n: type(n) is int and n in (1, 3))
CROP = one_of("imagenet").or_(None)
LOSS = one_of("cross_entropy", "binary_cross_entropy").but(
    "for a loss of yours, model.loss._target_=mylab.Focal"
)
MIX = one_of("both", "inputs", "labels").but("both mixes images and labels")
NOISE_KIND = one_of("symmetric", "asymmetric")
ON_ERROR = one_of("raise", "skip")
FREEZE = one_of("backbone").or_(None)
PRETRAINED = Allowed(
    "true, false or the path of a file of weights", lambda x: type(x) in (bool, str)
)
SMALL_STEM = FLAG.or_("auto")
VAL_SPLIT = one_of("stratified", "first", "last")
VOTE = one_of("mean", "majority")
WANDB_MODE = one_of("auto", "online", "offline", "disabled")
WEIGHT_DECAY_ON = one_of("all", "weights", "convolutions")
