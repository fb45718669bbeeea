"""Numbers in units and rounded for reading, and the sentences of a report."""

import math
from dataclasses import dataclass

from mixlab.errors import counted
from mixlab.reporting.comparison import Arm, Block, Comparison
from mixlab.reporting.pairing import Question, Result
from mixlab.reporting.statistics import CLAIM, LEVEL
from mixlab.runs.records import mapping, one_line
from mixlab.runs.status import RETRIED, Status

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
    question = Question(metric) if isinstance(metric, str) else metric
    symbol, name = question.unit, question.metric
    if symbol is None:
        symbol = "%" if name.lower().endswith(("accuracy", "iou")) else ""
    return Unit(100.0, "%", "pp", 2) if symbol == "%" else Unit(1.0, symbol, symbol)


def p_value(p: float) -> str:
    if not _known(p):
        return NO_VALUE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def seconds(value: float | None) -> str:
    """As in `1.10 s`, `12 min` or `3.1 h`."""
    if value is None or not _known(value):
        return NO_VALUE
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def correlation(value: float) -> str:
    return f"{value:+.2f}" if _known(value) else NO_VALUE


def metric_words(question: Question) -> str:
    """As in `test accuracy, %`."""
    words = one_line(question.metric.replace("/", " ").replace("_", " "), 60)
    return joined(words, unit(question).name)


def joined(words: str, unit_name: str) -> str:
    """As in `test accuracy, %`; only the words if there is no unit."""
    return f"{words}, {unit_name}" if unit_name else words


def arm_headline(arm: Arm, block: Block, question: Question) -> str:
    """The sentence after the verdict of an arm that has results and is not the baseline."""
    assert block.baseline is not None
    result, base = arm.results[block.headline], block.baseline.label
    difference, in_unit = result.difference, unit(question)
    n = difference.n
    if n == 0:
        return f"no seed finished in both this arm and {base}"
    change = in_unit.difference(difference.mean, difference.low, difference.high)
    change = f"{change} {in_unit.of_difference}".rstrip()
    if n == 1:
        return f"{change} against {base} in the one seed they share; one seed has no spread"
    lost = sum(run.status in RETRIED for run in arm.runs)
    # An arm that loses its worst runs looks better than it is.
    losses = f"; {lost} of {len(arm.runs)} runs failed or diverged" if lost else ""
    return f"{change} against {base}, {n} pairs, {_test(result)}{losses}"


def _test(result: Result) -> str:
    if result.difference.sd == 0:
        return "the same difference in every pair, so nothing to test"
    caution = "" if result.difference.n >= CLAIM else f"; fewer than {CLAIM} pairs: an estimate"
    return f"p = {p_value(result.p_holm)}".replace("= <", "< ") + caution


def run_counts(comparison: Comparison) -> str:
    """As in `15 runs: 14 finished, 1 failed`."""
    states = ", ".join(f"{count} {status}" for status, count in comparison.statuses.items())
    return f"{counted(len(comparison.runs), 'run')}: {states}"


def reading(comparison: Comparison) -> list[str]:
    """How to read the tables, in one or two sentences each; empty if no run has finished."""
    if Status.FINISHED not in comparison.statuses:
        return []
    question, blocks = comparison.question, comparison.blocks
    sentences = []
    checkpoints = {checkpoint for block in blocks for checkpoint in block.checkpoints}
    if "best" in checkpoints:
        sentences.append(
            f"best: the checkpoint chosen on validation data{_monitors(comparison)}. "
            "last: the end of training. The test data chose neither."
        )
    elif checkpoints:
        sentences.append("last: the end of training; nothing was chosen on validation data.")
    sentences.append(
        f"mean ± sd: over the finished runs. Difference: arm less baseline, paired by seed, with "
        f"its {100 * LEVEL:g} % t-interval. p: two-sided paired t-test, adjusted by Holm over the "
        "arms of a block."
    )
    pairs = {
        result.difference.n
        for block in blocks
        for arm in block.arms
        if arm is not block.baseline
        for result in arm.results.values()
    }
    if few := max((n for n in pairs if 2 <= n < CLAIM), default=0):
        sentences.append(
            f"Fewer than {CLAIM} pairs estimate; they claim nothing, whatever p is. p assumes "
            "normal differences. A sign-flip test, which assumes nothing, cannot go below "
            f"{2 / 2**few:.3g} with {few} pairs. So a verdict here only leans."
        )
    if question.margin is not None:
        in_unit = unit(question)
        margin = f"{in_unit.level(question.margin)} {in_unit.of_difference}".strip()
        sentences.append(
            f"equivalent: two one-sided t-tests at 5 % put the difference within ±{margin}."
        )
    sentences.append(
        "r: correlation of arm and baseline across seeds. time/epoch: median over the runs, and "
        "its ratio to the baseline's."
    )
    return sentences


def _monitors(comparison: Comparison) -> str:
    """As in ` (highest val/accuracy)`."""
    seen = {
        (str(monitor.get("mode")), one_line(monitor["metric"], 60))
        for run in comparison.runs
        if (monitor := mapping(run.record.get("monitor"))).get("metric")
    }
    names = [f"{'lowest' if mode == 'min' else 'highest'} {name}" for mode, name in sorted(seen)]
    return f" ({', '.join(names)})" if names else ""


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _fixed(value: float | None, factor: float, decimals: int, sign: str = "") -> str:
    if value is None or not _known(value):
        return NO_VALUE
    return f"{value * factor + 0.0:{sign}.{decimals}f}"
