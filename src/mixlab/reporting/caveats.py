"""What to know before believing the numbers: runs that do not count, facts that differ."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mixlab.errors import counted
from mixlab.reporting import cautions
from mixlab.reporting.pairing import Question, Result, finished, on_other_data
from mixlab.runs.records import StoredRun, mapping, one_line, shown_path
from mixlab.runs.status import RETRIED, Status

WHY = {
    "threads": "on a CPU their number changes the last bits and the time",
    "devices": "their number changes the batches",
    "accelerator": "neither seconds nor last bits can be compared",
    "hardware": "neither seconds nor last bits can be compared",
    "versions": "another release may compute something else",
    "data": "differences may come from the data",
}
MAX_LISTED = 4  # facts or values that a warning lists


def about(
    arms: Mapping[str, Sequence[StoredRun]],
    baseline: str | None,
    results: Mapping[str, Mapping[str, Result]],
    question: Question,
) -> list[str]:
    """Every note on a block, one sentence each; `arms` are runs by label."""
    notes = []
    for label, runs in arms.items():
        own = [*_unfinished(runs), *_lacking(runs, results, question)]
        notes += [f"{label}: {note}" for note in own]
    for label, runs in arms.items():
        if baseline is not None and label != baseline:
            notes += _unpaired(label, runs, baseline, arms[baseline])
    every = [run for runs in arms.values() for run in finished(runs)]
    return [*notes, *cautions.weak_figures(every), *_differing(every), *_changed_code(every)]


def not_begun(runs: Sequence[StoredRun]) -> str:
    """A note on an arm of which there is no configuration to read."""
    counts = Counter(run.status for run in runs)
    states = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{one_line(runs[0].slug, 60)}: {states}, no config.yaml to tell the arm from"


def environment(runs: Sequence[StoredRun]) -> dict[str, str]:
    """The facts of all runs that recorded any, several values with their counts."""
    begun = [run for run in runs if run.record]
    if not begun:
        return {}
    commits = Counter(one_line(run.record.get("git") or "not recorded", 60) for run in begun)
    every = {**_tally(begun), "git commit": commits}
    return {
        name: _counts(values) if len(values) > 1 else next(iter(values))
        for name, values in every.items()
    }


def _unfinished(runs: Sequence[StoredRun]) -> list[str]:
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
                f"{len(members)} of {len(runs)} runs {status} ({_seeds(members)}){ended}{reason}"
            )
    return notes


def _lacking(
    runs: Sequence[StoredRun], results: Mapping[str, Mapping[str, Result]], question: Question
) -> list[str]:
    """Finished runs without a seed to pair by, or without a number that others have."""
    seedless = [run for run in finished(runs) if run.seed is None]
    notes = [f"{len(seedless)} finished without a recorded seed, left out"] if seedless else []
    for checkpoint in results:
        without = [r for r in finished(runs) if r.value(checkpoint, question.metric) is None]
        if without:
            notes.append(f"{_seeds(without)} finished without {question.metric} at `{checkpoint}`")
    return notes


def _unpaired(
    label: str, runs: Sequence[StoredRun], base_label: str, base: Sequence[StoredRun]
) -> list[str]:
    """Seeds that only one side has, and seeds whose two runs saw different data."""
    notes = []
    for (name, own), (other_name, other) in (
        ((label, runs), (base_label, base)),
        ((base_label, base), (label, runs)),
    ):
        there = {run.seed for run in other}
        alone = [run for run in finished(own) if run.seed not in there]
        if alone:
            notes.append(f"{name}: {_seeds(alone)} not paired, {other_name} has no such run")
    if other_data := on_other_data(runs, base):
        notes.append(
            f"{label}: {_seeds(other_data)} not paired, {base_label} saw other data (their hashes "
            "differ)"
        )
    return notes


def _seeds(runs: Sequence[StoredRun]) -> str:
    """As in `seeds 0-4, 7`."""
    numbers = sorted({run.seed for run in runs if run.seed is not None})
    spans: list[list[int]] = []
    for seed in numbers:
        if spans and seed == spans[-1][-1] + 1:
            spans[-1].append(seed)
        else:
            spans.append([seed])
    listed = ", ".join(str(s[0]) if len(s) == 1 else f"{s[0]}-{s[-1]}" for s in spans)
    if not numbers:
        return "no seed"
    return f"seed {listed}" if len(numbers) == 1 else f"seeds {listed}"


def _differing(runs: Sequence[StoredRun]) -> list[str]:
    """A warning for each kind of fact in which the runs differ."""
    kinds: dict[str, list[str]] = {}
    for name, values in _tally(runs).items():
        kind, _, detail = name.partition(" ")
        if len(values) > 1:
            kinds.setdefault(kind, []).append(f"{detail} {_counts(values)}".strip())
    return [
        f"{kind} {'differs' if kind == 'accelerator' else 'differ'}: "
        f"{_listed(details, '; ')}. {WHY[kind].capitalize()}."
        for kind, details in kinds.items()
    ]


def _changed_code(runs: Sequence[StoredRun]) -> list[str]:
    """Warnings that name the source files that changed between runs, or since a run was kept."""
    every = [mapping(run.record.get("code")) for run in runs]
    changed = [
        name  # a run records the files that its own arm reaches
        for name in sorted({str(name) for code in every for name in code})
        if len({str(code.get(name)) for code in every if name in code or not code}) > 1
    ]
    notes = []
    if changed:
        files = one_line(_listed(changed))
        notes.append(f"code differs: {files}. Train the older runs again with existing=replace.")
    kept: dict[str, list[str]] = {}  # the runs by the files that changed
    for run in runs:
        if stale := [str(name) for name in run.record.get("stale_code") or ()]:
            kept.setdefault(one_line(_listed(stale)), []).append(shown_path(run.folder))
    return notes + [
        f"kept by existing=reuse though its code changed: {_listed(folders)} ({files})."
        for files, folders in kept.items()
    ]


def _tally(runs: Sequence[StoredRun]) -> dict[str, Counter[str]]:
    """For each fact, how many runs recorded which value."""
    every = [_facts(run) for run in runs]
    names = dict.fromkeys(name for one in every for name in one)
    return {name: Counter(one.get(name, "not recorded") for one in every) for name in names}


def _facts(run: StoredRun) -> dict[str, str]:
    """The recorded environment and data of a run, by a readable name."""
    facts: dict[str, Any] = {
        name: run.record.get(name) for name in ("threads", "accelerator", "devices")
    }
    for group in ("hardware", "versions", "data"):
        facts |= {f"{group} {name}": v for name, v in mapping(run.record.get(group)).items()}
    shown = {name: "none" if v is None else one_line(v, 80) for name, v in facts.items()}
    return {name: v[:12] if name.endswith("sha256") else v for name, v in shown.items()}


def _counts(values: Mapping[str, int]) -> str:
    most_first = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    return _listed([f"{value} ({counted(count, 'run')})" for value, count in most_first])


def _listed(words: Sequence[str], between: str = ", ") -> str:
    """The first `MAX_LISTED` of them, and `...` for the rest."""
    return between.join(words if len(words) <= MAX_LISTED else [*words[:MAX_LISTED], "..."])
