"""What a search varies: group choices, and the knobs that the chosen parts have."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    RangeSweep,
    Transformer,
)
from omegaconf import DictConfig

from mixlab.config.keys import leaves
from mixlab.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

DIGITS = 4  # of a number that is tried: more would say nothing, and fill every label

Compose = Callable[[list[str]], DictConfig]


@dataclass(frozen=True)
class Axis:
    """A group or a key, and the values it may take."""

    key: str
    is_group: bool
    word: str  # what stands before `=` in an override: the key, maybe with a `+`
    values: "BaseDistribution"

    def override(self, trial: "Trial") -> str:
        """The trial's value as an override; a trial that has one already keeps it."""
        value = trial._suggest(self.key, self.values)  # as suggest_float and its kin do
        return f"{self.word}={self.shown(value)}"

    def shown(self, value: Any) -> str:
        """A value as it is trained with: a number has four digits, and stays in its interval."""
        if not isinstance(value, float):
            return str(value)
        low, high = (getattr(self.values, name, value) for name in ("low", "high"))
        return str(min(high, max(low, float(f"{value:.{DIGITS}g}"))))


def axes_of(overrides: Iterable[Override], is_group: Callable[[str], bool]) -> list[Axis]:
    """The overrides with several values, groups first: which knobs there are depends on them."""
    axes = [
        Axis(each.key_or_group, is_group(each.key_or_group), word_of(each), values_of(each))
        for each in overrides
        if each.is_sweep_override()
    ]
    if not axes:
        raise UserError(
            "a search needs something to vary: hydra.sweeper.params, or "
            "'mixing.probability=interval(0.1,1)'"
        )
    return sorted(axes, key=lambda axis: not axis.is_group)


def word_of(override: Override) -> str:
    return str(override.input_line).partition("=")[0]


def values_of(override: Override) -> "BaseDistribution":
    """What Optuna calls a distribution: of choices, a range or an interval."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found, key = override.value(), override.key_or_group
    try:
        if isinstance(found, IntervalSweep):
            low, high = found.start, found.end
            assert low is not None and high is not None
            whole = isinstance(low, int) and isinstance(high, int)
            kind = IntDistribution if whole else FloatDistribution
            return kind(low, high, log="log" in found.tags)  # pyright: ignore[reportArgumentType]
        if isinstance(found, RangeSweep) and (whole := whole_range(found)):
            return IntDistribution(whole[0], whole[-1], step=whole.step)
        if isinstance(found, ChoiceSweep | RangeSweep):
            words = override.sweep_iterator(transformer=Transformer.encode)
            return CategoricalDistribution([str(word) for word in words])
    except ValueError as error:
        raise UserError(f"{key}: {error}; give interval(LOW,HIGH) with LOW below HIGH") from None
    raise UserError(f"{key}: a search takes choice(...), range(...) or interval(...)")


def whole_range(found: RangeSweep) -> range | None:
    """The values of a range of whole numbers, upward; None for others, which are choices."""
    ends = found.start, found.stop, found.step
    if all(isinstance(each, int) for each in ends) and found.step > 0:
        return range(*ends)  # pyright: ignore[reportArgumentType]
    return None


def trial_words(
    trial: "Trial", axes: Sequence[Axis], fixed: Sequence[str], compose: Compose
) -> list[str]:
    """The overrides of a trial. A knob that its choices do not have is not asked for."""
    groups = [axis.override(trial) for axis in axes if axis.is_group]
    there = keys_of(compose([*fixed, *groups]))
    knobs = [axis for axis in axes if not axis.is_group and applies(axis, there)]
    return [*fixed, *groups, *(axis.override(trial) for axis in knobs)]


def keys_of(cfg: DictConfig) -> set[str]:
    """The keys of a checked configuration, and the nodes above them."""
    parts = (name.split(".") for name, _ in leaves(cfg))
    above = ((".".join(each[:n]) for n in range(1, len(each) + 1)) for each in parts)
    return set(chain.from_iterable(above))


def applies(axis: Axis, there: set[str]) -> bool:
    return axis.key in there or axis.word != axis.key


def check_axes(axes: Sequence[Axis], fixed: Sequence[str], compose: Compose) -> None:
    """Raise UserError if a knob exists under none of the choices, or a choice does not exist."""
    groups = [axis for axis in axes if axis.is_group]
    there = set[str]()
    for words in one_choice_each(groups):
        there |= keys_of(compose([*fixed, *words]))
    for axis in axes:
        if not axis.is_group and not applies(axis, there):
            low = getattr(axis.values, "low", None)
            first = low if low is not None else axis.values.choices[0]  # pyright: ignore
            compose([*fixed, f"{axis.key}={first}"])  # which names the nearest key
            raise UserError(f"{axis.key} belongs to none of the choices of this search")


def one_choice_each(groups: Sequence[Axis]) -> Iterator[list[str]]:
    """The first choice of each group, and then each other choice in its place."""
    first = {axis.word: axis.values.choices[0] for axis in groups}  # pyright: ignore
    yield [f"{word}={choice}" for word, choice in first.items()]
    for axis in groups:
        for choice in axis.values.choices[1:]:  # pyright: ignore
            chosen = {**first, axis.word: choice}
            yield [f"{word}={value}" for word, value in chosen.items()]
