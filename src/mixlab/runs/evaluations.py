"""`evaluation.json` in a run folder: what `mixlab-evaluate` found there, each by its name.

A name is the part of the data and what else was asked for: `test`, `val`, `test tta=flip`. For a
comparison, all entries with the same words after the part are one more run of the arm.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixlab.errors import UserError, counted
from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.locks import taken
from mixlab.runs.records import PLAINLY, Found, StoredRun, mapping, one_line
from mixlab.runs.status import Status

FILE = "evaluation.json"
SAME = ("run_ended", "data", "checkpoints")  # what entries share whose figures belong together

Entries = Mapping[str, Mapping[str, Any]]


def check_keeps(folder: Path) -> None:
    """Raise UserError if entries cannot be added, before the time is spent on making them."""
    if not os.access(folder, os.W_OK):
        raise UserError(
            f"{folder} cannot be written to; save=false evaluates the run and writes nothing there"
        )
    read_json(folder / FILE)


def add_entries(folder: Path, entries: Entries) -> None:
    """Write entries into the file of a run, beside its others.

    An entry replaces the one of its name, whose figures under other names are kept where they are
    of the same checkpoints and data: another command may have asked for other metrics.

    Raises:
        UserError: the run is being trained, or its file is not JSON.
        CannotWrite: nothing can be written there.
    """
    lock = taken(folder)
    try:
        found = read_json(folder / FILE)
        for name, entry in entries.items():
            found[name] = with_figures_of(mapping(found.get(name)), entry)
        write_json(folder / FILE, found)
    finally:
        os.close(lock)


def with_figures_of(before: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with the figures of an earlier one that it does not have."""
    if any(before.get(key) != entry[key] for key in SAME):
        return dict(entry)
    figures = {
        when: {**mapping(mapping(before.get("results")).get(when)), **results}
        for when, results in entry["results"].items()
    }
    metrics = {**mapping(before.get("metrics")), **entry["metrics"]}
    return {**entry, "results": figures, "metrics": metrics}


def with_evaluations(found: Found) -> Found:
    """The runs, and for each way in which a run was evaluated one more.

    Raises:
        UserError: none was, or an `evaluation.json` is not JSON.
    """
    runs, notes = [], []
    for run in found.runs:
        entries = {
            str(name): entry
            for name, node in read_json(run.folder / FILE).items()
            if (entry := mapping(node)) and run.status == Status.FINISHED
        }
        fresh = {n: e for n, e in entries.items() if e.get("run_ended") == run.record.get("ended")}
        runs += as_runs(run, fresh)
        if stale := len(entries) - len(fresh):
            notes.append(
                f"{counted(stale, 'evaluation')} of {one_line(run.slug, 60)}, seed {run.seed}, "
                "older than its training: left out; run mixlab-evaluate again"
            )
    if all("evaluated" not in run.record for run in runs) and not notes:
        raise UserError(
            "no run there has an evaluation.json; write them first, as in "
            f"mixlab-evaluate run={found.sweeps[0] if found.sweeps else 'FOLDER'} tta=crops"
        )
    return replace(found, runs=tuple(runs), notes=tuple(notes))


def as_runs(run: StoredRun, entries: Entries) -> Iterator[StoredRun]:
    """The run itself, with the figures of its plain evaluations, and one more for other words."""
    grouped: dict[str, list[Mapping[str, Any]]] = defaultdict(list, {"": []})
    for name, entry in entries.items():
        grouped[name.partition(" ")[2]].append(entry)
    for words, members in grouped.items():
        record = {**run.record, "results": {}, "class_accuracy": {}} if words else run.record
        for entry in members:
            record = with_entry(record, entry)
        arm = f"{run.arm} {words}".rstrip()
        yield replace(run, arm=arm, record=record, evaluation=one_line(words, 60) or PLAINLY)


def with_entry(record: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """A run's record with the figures of an evaluation in place of its own."""
    before = mapping(record.get("results"))
    results = {
        when: {**mapping(before.get(when)), **mapping(figures)}
        for when, figures in mapping(entry.get("results")).items()
    }
    merged = {
        key: {**mapping(record.get(key)), **mapping(entry.get(key))} for key in ("metrics", "data")
    }
    found = {**record, **merged, "results": {**before, **results}, "evaluated": True}
    if mapping(entry.get("options")).get("part") == "test":
        found["class_accuracy"] = mapping(entry.get("class_accuracy"))
    return found
