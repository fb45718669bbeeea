"""Arms paired with a baseline by seed, at one checkpoint."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixlab.reporting.statistics import (
    ArmSummary,
    Difference,
    holm,
    paired_difference,
    summarise,
    verdict,
)
from mixlab.runs.records import StoredRun, finite_number, mapping

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
    verdict: str  # "baseline" for the baseline itself, "no results" where no run has the metric


@dataclass(frozen=True)
class Question:
    """What is asked of the runs."""

    metric: str = "test/accuracy"  # a key of the results in run.json
    by: tuple[str, ...] = ("mixing",)  # groups or keys that may differ within a block
    baseline: str | None = None  # label of the arm to compare with
    margin: float | None = None  # within +-margin is equivalent; in the metric's own unit

    described: Mapping[str, Any] = field(default_factory=dict)  # metrics, as `run.json` has them

    @property
    def higher_is_better(self) -> bool:
        """As the runs have recorded it; of what they have not, told from its name."""
        recorded = self.recorded(self.metric).get("higher_is_better")
        by_name = self.metric.replace("/", "_").rsplit("_", 1)[-1].lower() not in LOWER_IS_BETTER
        return recorded if isinstance(recorded, bool) else by_name

    def unit(self, metric: str) -> str:
        """`%` for a share that is printed in percent; of old runs, told from its name."""
        by_name = "%" if metric.lower().endswith(("accuracy", "iou")) else ""
        return str(self.recorded(metric).get("unit", by_name))

    def recorded(self, metric: str) -> Mapping[str, Any]:
        """What the runs say of `<stage>/<name>`."""
        return mapping(self.described.get(metric.rsplit("/", 1)[-1]))


def results(
    arms: Mapping[str, Sequence[StoredRun]], baseline: str | None, question: Question
) -> dict[str, dict[str, Result]]:
    """By checkpoint and arm; a checkpoint at which no run has the metric is left out."""
    found = {}
    for checkpoint in CHECKPOINTS:
        values = {arm: metric_by_seed(runs, checkpoint, question) for arm, runs in arms.items()}
        if any(values.values()):
            found[checkpoint] = _results_at(values, arms, baseline, question)
    return found


def metric_by_seed(
    runs: Sequence[StoredRun], checkpoint: str, question: Question
) -> dict[int, float]:
    """The metric of the finished runs that have it."""
    found = {run.seed: run.value(checkpoint, question.metric) for run in finished(runs)}
    return {seed: value for seed, value in found.items() if value is not None and seed is not None}


def is_guessing(runs: Sequence[StoredRun], values: Mapping[int, float], metric: str) -> bool:
    """Whether an arm's mean accuracy is within what guessing one of the classes would give.

    That is 1 / classes and three standard errors of it over the test rows of one run.
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
    return [run for run in runs if run.status == "finished"]


def on_other_data(arm: Sequence[StoredRun], baseline: Sequence[StoredRun]) -> list[StoredRun]:
    """The arm's runs whose partner in the baseline recorded another hash of the data."""
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
            summary=summarise(list(own.values())),
            pairs=pairs[arm],
            difference=differences[arm],
            p_holm=adjusted.get(arm, math.nan),
            verdict=words.get(arm, "baseline") if own else "no results",
        )
        for arm, own in values.items()
    }
