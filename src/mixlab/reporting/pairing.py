"""Arms paired with a baseline by seed, at one checkpoint."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mixlab.reporting.statistics import (
    ArmSummary,
    Difference,
    holm,
    paired_difference,
    summarize,
    verdict,
)
from mixlab.runs.records import StoredRun, finite_number, mapping, one_line
from mixlab.runs.status import Status

CHECKPOINTS = ("best", "last")  # chosen on validation, and the end of training
LOWER_IS_BETTER = ("loss", "error", "ece", "nll", "brier")


@dataclass(frozen=True)
class Result:
    """An arm at one checkpoint."""

    values: Mapping[int, float]  # metric by seed
    summary: ArmSummary
    pairs: Mapping[int, float]  # difference to the baseline by seed
    difference: Difference
    p_holm: float  # over the arms of the block, at this checkpoint
    verdict: str  # "baseline" for the baseline, "no results" if no run has the metric


@dataclass(frozen=True)
class Question:
    """What to compare, and by what."""

    metric: str = "test/accuracy"  # a key of the results in run.json
    by: tuple[str, ...] = ("mixing",)  # groups or keys that may differ within a block
    baseline: str | None = None  # label of the arm to compare with
    margin: float | None = None  # within +-margin is equivalent; in the metric's own unit

    unit: str | None = None  # of the metric, as the runs recorded it; None if they did not
    higher: bool | None = None  # whether higher is better, as recorded

    @property
    def symbol(self) -> str:
        """The unit that the runs recorded, or else the one that the metric's name tells."""
        if self.unit is not None:
            return self.unit
        return "%" if self.metric.lower().endswith(("accuracy", "iou")) else ""

    @property
    def higher_is_better(self) -> bool:
        if self.higher is not None:
            return self.higher
        return self.metric.replace("/", "_").rsplit("_", 1)[-1].lower() not in LOWER_IS_BETTER


def results(
    arms: Mapping[str, Sequence[StoredRun]], baseline: str | None, question: Question
) -> dict[str, dict[str, Result]]:
    """Results by checkpoint and arm, without checkpoints at which no run has the metric."""
    found = {}
    for checkpoint in CHECKPOINTS:
        values = {arm: metric_by_seed(runs, checkpoint, question) for arm, runs in arms.items()}
        if any(values.values()):
            found[checkpoint] = _results_at(values, arms, baseline, question)
    return found


def as_recorded(question: Question, runs: Sequence[StoredRun]) -> Question:
    """The question with the unit and direction of its metric, if a run has recorded them."""
    for run in runs:
        facts = mapping(mapping(run.record.get("metrics")).get(question.metric.partition("/")[2]))
        unit, higher = facts.get("unit"), facts.get("higher_is_better")
        if isinstance(unit, str):
            higher = higher if isinstance(higher, bool) else None
            return replace(question, unit=one_line(unit, 20), higher=higher)
    return question


def metric_by_seed(
    runs: Sequence[StoredRun], checkpoint: str, question: Question
) -> dict[int, float]:
    """The metric of the finished runs that have it."""
    found = {run.seed: run.value(checkpoint, question.metric) for run in finished(runs)}
    return {seed: value for seed, value in found.items() if value is not None and seed is not None}


def is_guessing(runs: Sequence[StoredRun], values: Mapping[int, float], metric: str) -> bool:
    """Whether an arm's mean accuracy could come from guessing.

    The limit is 1 / classes plus three standard errors of it over the test rows of one run.
    """
    records = [run.record for run in finished(runs)]
    classes = [mapping(record.get("class_accuracy")).get("classes") for record in records]
    counts = [len(names) for names in classes if isinstance(names, list) and names]
    rows = [finite_number(mapping(record.get("data")).get("test_rows")) for record in records]
    if metric != "test/accuracy" or not counts or not values or not all(rows):
        return False
    share, fewest = 1 / min(counts), min(row for row in rows if row)
    highest = share + 3 * math.sqrt(share * (1 - share) / fewest)
    return sum(values.values()) / len(values) <= highest


def finished(runs: Sequence[StoredRun]) -> list[StoredRun]:
    return [run for run in runs if run.status == Status.FINISHED]


def on_other_data(arm: Sequence[StoredRun], baseline: Sequence[StoredRun]) -> list[StoredRun]:
    """The arm's runs whose baseline run of the same seed recorded another hash of the data."""
    hashes = {run.seed: run.data_hash for run in finished(baseline)}
    return [
        run for run in finished(arm)
        if run.data_hash and hashes.get(run.seed) not in (None, run.data_hash)
    ]  # fmt: skip


def _results_at(
    values: Mapping[str, Mapping[int, float]],
    arms: Mapping[str, Sequence[StoredRun]],
    baseline: str | None,
    question: Question,
) -> dict[str, Result]:
    base = values[baseline] if baseline else {}
    differences, pairs = {}, {}
    for arm, own in values.items():
        refused = {run.seed for run in on_other_data(arms[arm], arms[baseline])} if baseline else ()
        seeds = [seed for seed in own if seed in base and seed not in refused]
        pairs[arm] = {seed: own[seed] - base[seed] for seed in seeds}
        differences[arm] = paired_difference(
            [own[s] for s in seeds], [base[s] for s in seeds], question.margin
        )
    others = [arm for arm in values if arm != baseline]
    adjusted = dict(zip(others, holm([differences[arm].p for arm in others]), strict=True))
    guessing = {arm for arm in values if is_guessing(arms[arm], values[arm], question.metric)}
    words = {
        arm: "at chance"
        if {arm, baseline} <= guessing
        else verdict(differences[arm], p, higher_is_better=question.higher_is_better)
        for arm, p in adjusted.items()
    }
    return {
        arm: Result(
            values=own,
            summary=summarize(list(own.values())),
            pairs=pairs[arm],
            difference=differences[arm],
            p_holm=adjusted.get(arm, math.nan),
            verdict=words.get(arm, "baseline") if own else "no results",
        )
        for arm, own in values.items()
    }
