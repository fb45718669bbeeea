"""Numbers in units and rounded for reading."""

import math
from dataclasses import dataclass

from mixlab.errors import counted
from mixlab.reporting.comparison import Comparison
from mixlab.reporting.pairing import Question
from mixlab.reporting.statistics import CLAIM
from mixlab.runs.records import one_line

NO_VALUE = "-"


@dataclass(frozen=True)
class Unit:
    """How a metric is written: accuracy in percent, its differences in percentage points."""

    factor: float = 1.0
    name: str = ""
    of_difference: str = ""
    decimals: int = 4

    def level(self, value: float | None) -> str:
        return _fixed(value, self.factor, self.decimals)

    def change(self, value: float | None) -> str:
        return _fixed(value, self.factor, self.decimals, sign="+")

    def spread(self, mean: float, sd: float) -> str:
        """As in `95.20 ± 0.31`."""
        return f"{self.level(mean)} ± {self.level(sd)}" if _known(sd) else self.level(mean)

    def difference(self, mean: float, low: float, high: float) -> str:
        """As in `+0.57 [+0.10, +1.05]`."""
        interval = f" [{self.change(low)}, {self.change(high)}]" if _known(low) else ""
        return f"{self.change(mean)}{interval}"


def unit(metric: Question | str) -> Unit:
    """The unit of a metric: the one that the runs recorded, or else derived from its name."""
    symbol = (Question(metric) if isinstance(metric, str) else metric).symbol
    return Unit(100.0, "%", "pp", 2) if symbol == "%" else Unit(1.0, symbol, symbol)


def p_value(p: float, pairs: int = CLAIM) -> str:
    """In brackets below `CLAIM` pairs, where it is no evidence."""
    if not _known(p):
        return NO_VALUE
    words = "<0.001" if p < 0.001 else f"{p:.3f}"
    return words if pairs >= CLAIM else f"({words})"


def seconds(value: float | None) -> str:
    """As in `1.10 s`, `12 min` or `3.1 h`."""
    if value is None or not _known(value):
        return NO_VALUE
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def share(value: float | None) -> str:
    """As in `0.20`."""
    return _fixed(value, 1.0, 2)


def correlation(value: float) -> str:
    return f"{value:+.2f}" if _known(value) else NO_VALUE


def metric_words(question: Question) -> str:
    """As in `test accuracy, %`."""
    words = one_line(question.metric.replace("/", " ").replace("_", " "), 60)
    return joined(words, unit(question).name)


def spreadsheet_text(text: str) -> str:
    """Text for a cell of a CSV file: a spreadsheet would run what begins as a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "@") else text


def joined(words: str, unit_name: str) -> str:
    """As in `test accuracy, %`; only the words if there is no unit."""
    return f"{words}, {unit_name}" if unit_name else words


def run_counts(comparison: Comparison) -> str:
    """As in `15 runs: 14 finished, 1 failed`."""
    states = ", ".join(f"{count} {status}" for status, count in comparison.statuses.items())
    return f"{counted(sum(comparison.statuses.values()), 'run')}: {states}"


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _fixed(value: float | None, factor: float, decimals: int, sign: str = "") -> str:
    if value is None or not _known(value):
        return NO_VALUE
    return f"{value * factor + 0.0:{sign}.{decimals}f}"
