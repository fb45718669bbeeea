"""What a reader must know before believing the numbers: runs that do not count, and why."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from mixlab.reporting import environment
from mixlab.reporting.pairing import Question, Result, finished, on_other_data
from mixlab.runs.records import StoredRun, one_line
from mixlab.runs.status import RETRIED, Status

Arms = Mapping[str, Sequence[StoredRun]]  # runs by label


def about(
    arms: Arms,
    baseline: str | None,
    results: Mapping[str, Mapping[str, Result]],
    question: Question,
) -> list[str]:
    """Every note on a block, one sentence each."""
    notes = []
    for label, runs in arms.items():
        notes += [
            f"{label}: {note}" for note in (*unfinished(runs), *lacking(runs, results, question))
        ]
    for label, runs in arms.items():
        if baseline is not None and label != baseline:
            notes += unpaired(label, runs, baseline, arms[baseline])
    return notes + environment.differing([run for runs in arms.values() for run in finished(runs)])


def unfinished(runs: Sequence[StoredRun]) -> list[str]:
    """Seeds that failed, diverged, run or wait, with the first reason given."""
    by_status: dict[str, list[StoredRun]] = defaultdict(list)
    for run in runs:
        by_status[run.status].append(run)
    notes = []
    for status, members in by_status.items():
        if status != Status.FINISHED:
            reason = next((f": {run.problem}" for run in members if run.problem), "")
            ended = "; the mean leaves them out" if status in RETRIED else ""
            notes.append(
                f"{len(members)} of {len(runs)} runs {status} ({seed_list(members)}){ended}{reason}"
            )
    return notes


def lacking(
    runs: Sequence[StoredRun], results: Mapping[str, Mapping[str, Result]], question: Question
) -> list[str]:
    """Finished runs without a seed to pair by, or without a number that others have."""
    seedless = [run for run in finished(runs) if run.seed is None]
    notes = [f"{len(seedless)} finished without a recorded seed, left out"] if seedless else []
    for checkpoint in results:
        without = [r for r in finished(runs) if r.value(checkpoint, question.metric) is None]
        if without:
            notes.append(
                f"{seed_list(without)} finished without {question.metric} at `{checkpoint}`"
            )
    return notes


def unpaired(
    label: str, runs: Sequence[StoredRun], base_label: str, base: Sequence[StoredRun]
) -> list[str]:
    """Seeds that one side never had, and seeds whose two runs saw different data."""
    notes = []
    for (name, own), (other_name, other) in (
        ((label, runs), (base_label, base)),
        ((base_label, base), (label, runs)),
    ):
        there = {run.seed for run in other}
        alone = [run for run in finished(own) if run.seed not in there]
        if alone:
            notes.append(f"{name}: {seed_list(alone)} not paired, {other_name} has no such run")
    other_data = on_other_data(runs, base)
    if other_data:
        which = seed_list(other_data)
        notes.append(
            f"{label}: {which} not paired, {base_label} saw other data (their hashes differ)"
        )
    return notes


def not_begun(runs: Sequence[StoredRun]) -> str:
    """An arm of which there is no configuration to read."""
    counts = Counter(run.status for run in runs)
    states = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{one_line(runs[0].slug, 60)}: {states}, no config.yaml to tell the arm from"


def seed_list(runs: Sequence[StoredRun]) -> str:
    """ "seeds 0-4, 7" """
    numbers = sorted({run.seed for run in runs if run.seed is not None})
    spans: list[list[int]] = []
    for seed in numbers:
        if spans and seed == spans[-1][-1] + 1:
            spans[-1].append(seed)
        else:
            spans.append([seed])
    parts = [str(span[0]) if len(span) == 1 else f"{span[0]}-{span[-1]}" for span in spans]
    return f"seed{'s' * (len(numbers) > 1)} {', '.join(parts)}" if parts else "no seed"
