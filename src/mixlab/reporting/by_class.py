"""Which classes gain or lose: the accuracy of each class, arm minus baseline, paired by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixlab.errors import UserError
from mixlab.reporting import formatting
from mixlab.reporting.comparison import Arm, Block
from mixlab.reporting.pairing import finished, on_other_data
from mixlab.reporting.statistics import Difference, holm, paired_difference, verdict
from mixlab.runs.records import StoredRun, finite_number, mapping, one_line

HEADINGS = {
    "arm": "arm", "class": "class", "baseline": "baseline, %", "mean": "mean, %",
    "difference": "difference, pp [95 %]", "pairs": "pairs", "p": "p (Holm)", "verdict": "verdict",
}  # fmt: skip
READING = (
    "Accuracy of each class of the test data. Difference: arm minus baseline, paired by seed, with "
    "its 95 % t-interval. p: two-sided paired t-test, adjusted by Holm over all rows of the table."
)


@dataclass(frozen=True)
class ClassChange:
    """One class under one arm."""

    arm: str
    name: str
    baseline: float  # mean accuracy over the pairs
    mean: float
    difference: Difference
    p_holm: float  # over the classes and arms of the block
    verdict: str


def changes(block: Block) -> list[ClassChange]:
    """Each class of each arm that is shown but the baseline, at the checkpoint of the headline.

    p is adjusted for all arms.

    Raises:
        UserError: no pair of runs of the block has recorded its classes.
    """
    if block.baseline is None or len(block.arms) < 2:
        return []
    found = class_pairs(block, block.every)
    shown = {arm.label for arm in block.arms}
    if not found:
        raise UserError(
            f"{block.title}: no seed has its accuracy recorded class by class in two arms; train "
            "them with this version, existing=replace"
        )
    differences = [paired_difference(own, base) for _, _, own, base in found]
    adjusted = holm([difference.p for difference in differences])
    return [
        ClassChange(
            arm, name, sum(base) / len(base), sum(own) / len(own), difference, p,
            verdict(difference, p, higher_is_better=True),
        )
        for (arm, name, own, base), difference, p in zip(found, differences, adjusted, strict=True)
        if arm in shown
    ]  # fmt: skip


def class_pairs(
    block: Block, arms: Sequence[Arm] | None = None
) -> list[tuple[str, str, list[float], list[float]]]:
    """Arm, class, and the accuracies of arm and baseline in the seeds that both have."""
    if block.baseline is None:
        return []
    return [
        (arm.label, name, own, base)
        for arm in arms or block.arms
        if arm is not block.baseline
        for name, own, base in paired(arm, block.baseline, block.headline)
    ]


def paired(arm: Arm, baseline: Arm, checkpoint: str) -> list[tuple[str, list[float], list[float]]]:
    """Classes that both arms have, and the accuracies of each in the seeds that both have."""
    refused = {run.seed for run in on_other_data(arm.runs, baseline.runs)}
    own, base = by_seed(arm.runs, checkpoint), by_seed(baseline.runs, checkpoint)
    seeds = [seed for seed in own if seed in base and seed not in refused]
    names = list(dict.fromkeys(name for seed in seeds for name in own[seed]))
    pairs = []
    for name in names:
        both = [seed for seed in seeds if name in own[seed] and name in base[seed]]
        if both:
            pairs.append((name, [own[s][name] for s in both], [base[s][name] for s in both]))
    return pairs


def by_seed(runs: Sequence[StoredRun], checkpoint: str) -> dict[int, Mapping[str, float]]:
    """Accuracy by class, by seed, of the finished runs that recorded it."""
    found = {run.seed: of_run(run, checkpoint) for run in finished(runs) if run.seed is not None}
    return {seed: classes for seed, classes in found.items() if classes}


def of_run(run: StoredRun, checkpoint: str) -> dict[str, float]:
    """Accuracy by class; a class without test rows is left out."""
    record = mapping(run.record.get("class_accuracy"))
    values, names = record.get(checkpoint), record.get("classes")
    if not isinstance(values, list) or not isinstance(names, list) or len(values) != len(names):
        return {}
    known = (
        (one_line(name, 60), finite_number(value))
        for name, value in zip(names, values, strict=True)
    )
    return {name: value for name, value in known if value is not None}


def class_rows(block: Block) -> list[dict[str, str]]:
    """The table, cell by cell, under the keys of `HEADINGS`."""
    in_unit, last, table = formatting.unit("accuracy"), None, []
    for change in changes(block):
        difference = change.difference
        table.append({
            "arm": "" if change.arm == last else change.arm,
            "class": change.name,
            "baseline": in_unit.level(change.baseline),
            "mean": in_unit.level(change.mean),
            "difference": in_unit.difference(difference.mean, difference.low, difference.high),
            "pairs": str(difference.n),
            "p": formatting.p_value(change.p_holm, difference.n),
            "verdict": change.verdict,
        })  # fmt: skip
        last = change.arm
    return table
