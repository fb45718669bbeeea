"""The sentences of a report: what a block found, what an arm did, how to read the tables."""

from itertools import groupby

from mixlab.errors import counted
from mixlab.reporting import formatting
from mixlab.reporting.comparison import Arm, Block, Comparison
from mixlab.reporting.pairing import Question, Result
from mixlab.reporting.statistics import CLAIM, LEVEL
from mixlab.runs.records import mapping, one_line
from mixlab.runs.status import BROKEN, Status

MOST = 6  # arms that the sentence of a block names


def answer(block: Block, comparison: Comparison) -> str:
    """What a block found; "" where nothing is compared.

    As in `digits, cnn: cutmix is 4.6 points above none, mixup 0.6 below (n = 5, too few to claim).`
    """
    base = block.baseline
    if base is None or not block.is_comparison:
        return ""
    others = [(arm.label, arm.results[block.headline]) for arm in block.arms if arm is not base]
    paired = [(label, result) for label, result in others if result.difference.n]
    paired.sort(key=lambda one: -one[1].difference.mean)  # stable: equal ones as in the table
    in_unit, parts = formatting.unit(comparison.question), list[str]()
    for remark, group in groupby(paired[:MOST], key=lambda one: _remark(one[1])):
        alike = len(parts)
        for label, result in group:
            parts.append(
                _place(label, result.difference.mean, in_unit, "" if parts else base.label)
            )
        parts[-1] += f" ({_of_several(remark, len(parts) - alike, len(paired))})"
    if len(paired) > MOST:
        parts.append(f"{len(paired) - MOST + len(block.hidden)} more arms lower")
    if lone := len(others) - len(paired):
        parts.append(f"{counted(lone, 'arm')} without a seed in common with {base.label}")
    return f"{block.title}: {', '.join(parts)}."


def _place(label: str, change: float, in_unit: formatting.Unit, base: str) -> str:
    """As in `cutmix is 4.6 points above none`, and without a baseline as in `cutmix 4.6 above`."""
    points, side = in_unit.of_difference == "pp", "above" if change > 0 else "below"
    amount = in_unit.level(abs(change))
    if points and abs(change) >= 0.001:
        amount = f"{100 * abs(change):.1f}"  # hundredths of a point only where there is no more
    if not float(amount):
        return f"{label} is level with {base}" if base else f"{label} level"
    if not base:
        return f"{label} {amount} {side}"
    name = "points" if points else in_unit.of_difference
    return " ".join(filter(None, (label, "is", amount, name, side, base)))


def _of_several(remark: str, alike: int, every: int) -> str:
    """`n = 2, all at chance`: that what is said of the last arm is said of those before it, too."""
    number = "all" if alike == every else f"these {alike}"
    return remark if alike == 1 else remark.replace("at chance", f"{number} at chance")


def _remark(result: Result) -> str:
    n, word = result.difference.n, result.verdict
    if word in ("better", "worse"):
        return f"n = {n}, p = {formatting.p_value(result.p_holm, n)}".replace("= <", "< ")
    if n < CLAIM and word != "at chance":
        return f"n = {n}, too few to claim"
    return f"n = {n}, {'no evidence of a difference' if word == 'no evidence' else word}"


def arm_headline(arm: Arm, block: Block, question: Question) -> str:
    """The sentence after the verdict of an arm that has results and is not the baseline."""
    assert block.baseline is not None
    result, base = arm.results[block.headline], block.baseline.label
    difference, in_unit = result.difference, formatting.unit(question)
    n = difference.n
    if n == 0:
        return f"no seed finished in both this arm and {base}"
    change = in_unit.difference(difference.mean, difference.low, difference.high)
    change = f"{change} {in_unit.of_difference}".rstrip()
    if n == 1:
        return f"{change} against {base} in the one seed they share; one seed has no spread"
    lost = sum(run.status in BROKEN for run in arm.runs)
    # An arm that loses its worst runs looks better than it is.
    losses = f"; {lost} of {len(arm.runs)} runs failed or diverged" if lost else ""
    return f"{change} against {base}, {_test(result)}{losses}"


def _test(result: Result) -> str:
    n = result.difference.n
    if result.difference.sd == 0:
        return f"{n} pairs, the same difference in every pair, so nothing to test"
    if n < CLAIM:
        return f"n = {n}: an estimate, not a claim"
    return f"{n} pairs, p = {formatting.p_value(result.p_holm)}".replace("= <", "< ")


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
        f"mean ± sd: over the finished runs. Difference: arm minus baseline, paired by seed, with "
        f"its {100 * LEVEL:g} % t-interval. p: two-sided paired t-test, adjusted by Holm over the "
        "arms of a block. The intervals are not adjusted for the number of arms, so one can "
        "exclude 0 where the verdict claims nothing."
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
            f"p in brackets: fewer than {CLAIM} pairs, an estimate and not a claim, as a sign-flip "
            f"test, which assumes nothing, cannot go below {2 / 2**few:.3g} with {few} pairs. "
            "With so few pairs a verdict is never more than 'leans better' or 'leans worse'."
        )
    if question.margin is not None:
        in_unit = formatting.unit(question)
        margin = f"{in_unit.level(question.margin)} {in_unit.of_difference}".strip()
        sentences.append(
            f"equivalent: two one-sided t-tests at 5 % put the difference within ±{margin}."
        )
    if any(block.shows_mixed for block in blocks):
        sentences.append(
            "mixed: the share of a row that others replaced, as the mean over training and runs; "
            "methods are compared at equal strength where it is equal."
        )
    sentences.append(
        "r: correlation of arm and baseline across seeds. time/epoch: median over the runs, and "
        "its ratio to the baseline's. Runs that share a machine slow each other down. To measure "
        "time, train them one after another (hydra.launcher.jobs=1), as claim=cost does."
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
