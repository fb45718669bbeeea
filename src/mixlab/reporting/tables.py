"""What the tables of a report hold, cell by cell, in the words of people."""

from dataclasses import dataclass

from mixlab.reporting import formatting
from mixlab.reporting.comparison import Arm, Block, Comparison

NUMERIC = ("runs", "baseline", "mean", "difference", "pairs", "p", "r", "cost")


def table_rows(block: Block, comparison: Comparison) -> list[dict[str, str]]:
    """A row per arm and checkpoint, best above last, every cell as it is shown."""
    checkpoints = block.checkpoints or ("last",)
    return [
        _row(arm, checkpoint, block, comparison, is_first=checkpoint == checkpoints[0])
        for arm in block.arms
        for checkpoint in checkpoints
    ]


def _row(
    arm: Arm, checkpoint: str, block: Block, comparison: Comparison, *, is_first: bool
) -> dict[str, str]:
    result, in_unit = arm.results.get(checkpoint), formatting.unit(comparison.question)
    is_baseline = arm is block.baseline
    cost = formatting.seconds(arm.cost)
    if arm.cost_ratio is not None and not is_baseline:
        cost += f" {formatting.ratio(arm.cost_ratio)}"
    row = {"arm": arm.label if is_first else "", "at": checkpoint}
    if result is None:
        return row | {"runs": "0", "verdict": "no results"}
    found = len(arm.runs)
    n = result.summary.n
    row |= {
        "runs": str(n) if n == found else f"{n}/{found}",
        "mean": in_unit.spread(result.summary.mean, result.summary.sd),
        "cost": cost if is_first else "",
        "verdict": result.verdict if block.baseline else "",
    }
    if is_baseline or block.baseline is None or not n:
        return row
    difference = result.difference
    return row | {
        "difference": in_unit.difference(difference.mean, difference.low, difference.high),
        "pairs": str(difference.n),
        "p": formatting.p_value(result.p_holm),
        "r": formatting.correlation(difference.correlation),
    }


def columns(block: Block, comparison: Comparison) -> dict[str, str]:
    """The columns a block needs, and their headings."""
    in_unit = formatting.unit(comparison.question)
    headings = {
        "arm": "arm", "at": "at", "runs": "runs", "mean": "mean ± sd",
        "difference": f"{formatting.joined('difference', in_unit.of_difference)} [95 %]",
        "pairs": "pairs", "p": "p (Holm)", "r": "r", "verdict": "verdict", "cost": "time/epoch",
    }  # fmt: skip
    if len(block.arms) < 2 or block.baseline is None:
        alone = ("arm", "at", "runs", "mean", "cost")
        return {key: headings[key] for key in alone}
    return headings


@dataclass(frozen=True)
class SweepSummary:
    """Blocks down, arms across: what to look at first where there are several blocks."""

    labels: list[str]
    rows: list[tuple[str, dict[str, tuple[str, str]]]]  # title; difference and verdict by label
    caption: str


def sweep_summary(comparison: Comparison) -> SweepSummary | None:
    """Differences at the headline's checkpoint; None for a single block."""
    blocks, in_unit = comparison.blocks, formatting.unit(comparison.question)
    if len(blocks) < 2:
        return None
    rows = [
        (block.title, {arm.label: _summary_cell(arm, block, in_unit) for arm in block.arms})
        for block in blocks
    ]
    metric = formatting.metric_words(comparison.question)
    caption = f"{metric}: the baseline's mean, and each arm's difference to it with the verdict."
    return SweepSummary(
        list(dict.fromkeys(label for _, cells in rows for label in cells)), rows, caption
    )


def _summary_cell(arm: Arm, block: Block, in_unit: formatting.Unit) -> tuple[str, str]:
    result = arm.results.get(block.headline)
    if result is None or not result.summary.n:
        return "no results", ""
    if arm is block.baseline or block.baseline is None:
        return in_unit.level(result.summary.mean), ""
    return f"{in_unit.change(result.difference.mean)} {result.verdict}", result.verdict
