"""Recorded facts of runs that are compared: what they share, and a warning where they differ."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mixlab.errors import counted
from mixlab.runs.records import StoredRun, mapping, one_line, shown_path

WHY = {
    "threads": "on a CPU their number changes the last bits and the time",
    "devices": "their number changes the batches",
    "accelerator": "neither seconds nor last bits can be compared",
    "hardware": "neither seconds nor last bits can be compared",
    "versions": "another release may compute something else",
    "data": "differences may come from the data",
}
MAX_LISTED = 4  # facts or values that a warning lists


def facts(run: StoredRun) -> dict[str, str]:
    """What a run recorded of its surroundings, by a name for people."""
    record = run.record
    found = {name: record.get(name) for name in ("threads", "accelerator", "devices")}
    for group in ("hardware", "versions"):
        found |= {f"{group} {name}": value for name, value in mapping(record.get(group)).items()}
    found |= {f"data {name}": value for name, value in mapping(record.get("data")).items()}
    return {name: _text(name, value) for name, value in found.items()}


def tally(runs: Sequence[StoredRun]) -> dict[str, Counter[str]]:
    """For each fact, how many runs recorded which value."""
    every = [facts(run) for run in runs]
    names = dict.fromkeys(name for one in every for name in one)
    return {name: Counter(one.get(name, "not recorded") for one in every) for name in names}


def differing(runs: Sequence[StoredRun]) -> list[str]:
    """A warning for each kind of fact in which runs differ that are compared with each other."""
    kinds: dict[str, list[str]] = {}
    for name, values in tally(runs).items():
        kind, _, detail = name.partition(" ")
        if len(values) > 1:
            kinds.setdefault(kind, []).append(f"{detail} {_counts(values)}".strip())
    return [
        f"{kind} {'differs' if kind == 'accelerator' else 'differ'}: "
        + "; ".join([*details[:MAX_LISTED], *["..."][: len(details) > MAX_LISTED]])
        + f". {WHY[kind].capitalize()}."
        for kind, details in kinds.items()
    ] + list(_code(runs))


def _code(runs: Sequence[StoredRun]) -> Iterator[str]:
    """Warnings that name the source files that changed between runs, or since a run was kept."""
    every = [mapping(run.record.get("code")) for run in runs]
    names = sorted({str(name) for code in every for name in code})
    changed = [
        name  # a run records the files that its own arm reaches
        for name in names
        if len({str(code.get(name)) for code in every if name in code or not code}) > 1
    ]
    if changed:
        yield f"code differs: {_files(changed)}. Train the older runs again with existing=replace."
    for run in runs:
        if stale := [str(name) for name in run.record.get("stale_code") or ()]:
            yield (
                f"kept by existing=reuse though its code changed: {shown_path(run.folder)} "
                f"({_files(stale)})."
            )


def _files(names: Sequence[str]) -> str:
    return one_line(", ".join(names[:MAX_LISTED]) + ", ..." * (len(names) > MAX_LISTED))


def environment(runs: Sequence[StoredRun]) -> dict[str, str]:
    """The facts of all runs that recorded any, several values with their counts."""
    begun = [run for run in runs if run.record]
    commits = Counter(one_line(run.record.get("git") or "not recorded", 60) for run in begun)
    every = {**tally(begun), "git commit": commits} if begun else {}
    return {
        name: _counts(values) if len(values) > 1 else next(iter(values))
        for name, values in every.items()
    }


def _counts(values: Mapping[str, int]) -> str:
    most_first = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{value} ({counted(count, 'run')})" for value, count in most_first[:MAX_LISTED]]
    return ", ".join(shown) + ", ..." * (len(most_first) > MAX_LISTED)


def _text(name: str, value: Any) -> str:
    text = "none" if value is None else one_line(value, 80)
    return text[:12] if name.endswith("sha256") else text
