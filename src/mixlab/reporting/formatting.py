"""Numbers as people read them, and the sentences of a report."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mixlab.errors import counted
from mixlab.reporting.comparison import Arm, Block, Comparison
from mixlab.reporting.pairing import Question, Result
from mixlab.reporting.statistics import CLAIM, LEVEL
from mixlab.runs.records import mapping, one_line

NO_VALUE = "-"


@dataclass(frozen=True)
class Unit:
    """How a metric is written: accuracies in percent, their differences in percentage points."""

    factor: float = 1.0
    name: str = ""
    of_difference: str = ""
    decimals: int = 4

    def level(self, value: float | None) -> str:
        return _fixed(value, self.factor, self.decimals)

    def change(self, value: float | None) -> str:
        return _fixed(value, self.factor, self.decimals, sign="+")

    def spread(self, mean: float, sd: float) -> str:
        """ "95.20 ± 0.31" """
        return f"{self.level(mean)} ± {self.level(sd)}" if _known(sd) else self.level(mean)

    def difference(self, mean: float, low: float, high: float) -> str:
        """ "+0.57 [+0.10, +1.05]" """
        interval = f" [{self.change(low)}, {self.change(high)}]" if _known(low) else ""
        return f"{self.change(mean)}{interval}"


PERCENT = Unit(100.0, "%", "pp", 2)


def unit(question: Question, metric: str | None = None) -> Unit:
    """The unit of the metric that is asked for, or of another one of the same runs."""
    name = one_line(question.unit(metric or question.metric), 20)
    return PERCENT if name == "%" else Unit(name=name, of_difference=name)


def p_value(p: float) -> str:
    if not _known(p):
        return NO_VALUE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def ratio(value: float) -> str:
    return f"x{value:.2f}"


def seconds(value: float | None) -> str:
    """ "1.10 s", "12 min", "3.1 h" """
    if value is None or not _known(value):
        return NO_VALUE
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def correlation(value: float) -> str:
    return f"{value:+.2f}" if _known(value) else NO_VALUE


def metric_words(question: Question) -> str:
    """ "test accuracy, %" """
    words = one_line(question.metric.replace("/", " ").replace("_", " "), 60)
    return joined(words, unit(question).name)


def joined(words: str, unit_name: str) -> str:
    """ "test accuracy, %"; without a unit the words alone."""
    return f"{words}, {unit_name}" if unit_name else words


def arm_headline(arm: Arm, block: Block, question: Question) -> str:
    """What stands after the verdict's word on an arm that has results and is not the baseline."""
    assert block.baseline is not None
    result = arm.results[block.headline]
    n, base = result.difference.n, block.baseline.label
    if n == 0:
        return f"no seed is finished both here and in {base}"
    in_unit, difference = unit(question), result.difference
    change = in_unit.difference(difference.mean, difference.low, difference.high)
    change = f"{change} {in_unit.of_difference}".rstrip()
    if n == 1:
        return f"{change} against {base} in the one seed they share; one seed has no spread"
    return f"{change} against {base}, {n} pairs, {_test(result)}{_lost(arm)}"


def _lost(arm: Arm) -> str:
    """ "; 1 of 8 runs failed or diverged", which flatters an arm that does so where it is worst."""
    lost = sum(run.status in ("failed", "diverged") for run in arm.runs)
    return f"; {lost} of {len(arm.runs)} runs failed or diverged" if lost else ""


def _test(result: Result) -> str:
    if result.difference.sd == 0:
        return "the same difference in every pair, so nothing to test"
    caution = "" if result.difference.n >= CLAIM else f"; fewer than {CLAIM} pairs: an estimate"
    return f"p = {p_value(result.p_holm)}".replace("= <", "< ") + caution


def run_counts(comparison: Comparison) -> str:
    """ "15 runs: 14 finished, 1 failed" """
    states = ", ".join(f"{count} {status}" for status, count in comparison.statuses.items())
    return f"{counted(len(comparison.runs), 'run')}: {states}"


def reading(comparison: Comparison) -> list[str]:
    """How to read the tables, one sentence or two each; nothing where they have no figures."""
    if "finished" not in comparison.statuses:
        return []
    blocks, question = comparison.blocks, comparison.question
    checkpoints = {checkpoint for block in blocks for checkpoint in block.checkpoints}
    pairs = {
        result.difference.n
        for block in blocks
        for arm in block.arms
        if arm is not block.baseline
        for result in arm.results.values()
    }
    return [
        *_about_checkpoints(checkpoints, comparison),
        f"mean ± sd: over the finished runs. Difference: arm less baseline, paired by seed, with "
        f"its {100 * LEVEL:g} % t-interval. p: two-sided paired t-test, adjusted by Holm over the "
        "arms of a block.",
        *_about_few(n for n in pairs if 2 <= n < CLAIM),
        *_about_margin(question),
        "r: correlation of arm and baseline across seeds. time/epoch: median over the runs, and "
        "its ratio to the baseline's.",
    ]


def _about_checkpoints(checkpoints: set[str], comparison: Comparison) -> list[str]:
    if checkpoints == {"last"}:
        return ["last: the end of training; nothing was chosen on validation data."]
    if "best" not in checkpoints:
        return []
    return [
        f"best: the checkpoint chosen on validation data{_monitors(comparison)}. "
        "last: the end of training. The test data chose neither."
    ]


def _monitors(comparison: Comparison) -> str:
    """ " (highest val/accuracy)" """
    seen = {
        (str(monitor.get("mode")), one_line(monitor["metric"], 60))
        for run in comparison.runs
        if (monitor := mapping(run.record.get("monitor"))).get("metric")
    }
    names = [f"{'lowest' if mode == 'min' else 'highest'} {name}" for mode, name in sorted(seen)]
    return f" ({', '.join(names)})" if names else ""


def _about_few(numbers: Iterable[int]) -> list[str]:
    few = max(numbers, default=None)
    if few is None:
        return []
    return [
        f"Fewer than {CLAIM} pairs estimate; they claim nothing, whatever p is. p assumes normal "
        "differences. A sign-flip test, which assumes nothing, cannot go below "
        f"{2 / 2**few:.3g} with {few} pairs. So a verdict here only leans."
    ]


def _about_margin(question: Question) -> list[str]:
    if question.margin is None:
        return []
    in_unit = unit(question)
    margin = f"{in_unit.level(question.margin)} {in_unit.of_difference}".strip()
    return [f"equivalent: two one-sided t-tests at 5 % put the difference within ±{margin}."]


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _fixed(value: float | None, factor: float, decimals: int, sign: str = "") -> str:
    if value is None or not _known(value):
        return NO_VALUE
    return f"{value * factor + 0.0:{sign}.{decimals}f}"
