"""From runs to compared arms: blocks of arms that differ in one thing and in nothing else.

What may differ is mixing, unless the question says otherwise. One arm of a block is its baseline.
"""

import difflib
import statistics as plain
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mixlab.errors import UserError
from mixlab.reporting import cautions, caveats
from mixlab.reporting import labels as words
from mixlab.reporting.pairing import CHECKPOINTS, Question, Result, as_recorded, finished, results
from mixlab.runs.records import (
    DUPLICATE,
    PLAINLY,
    STATUSES,
    Found,
    StoredRun,
    finite_number,
    mapping,
    one_line,
)  # fmt: skip
from mixlab.runs.status import Status


@dataclass(frozen=True)
class Arm:
    """Runs of one configuration that differ only in the seed."""

    label: str
    settings: words.Settings
    runs: tuple[StoredRun, ...]  # by seed; those that did not finish as well
    results: Mapping[str, Result]  # by checkpoint
    cost: float | None  # median seconds per epoch
    cost_ratio: float | None  # to the baseline's
    mixed: float | None = None  # mean share of a row that others replaced


@dataclass(frozen=True)
class Block:
    """Arms that are compared with each other, the baseline first."""

    title: str
    arms: tuple[Arm, ...]
    baseline: Arm | None  # None if the requested one is not in this block
    checkpoints: tuple[str, ...]  # those that have values; the first is the headline
    notes: tuple[str, ...]  # what to know before believing the numbers
    hidden: tuple[Arm, ...] = ()  # arms that a report does not show, as there are too many

    @property
    def every(self) -> tuple[Arm, ...]:
        """The arms that are shown, and those that are not."""
        return self.arms + self.hidden

    @property
    def shows_mixed(self) -> bool:
        """Whether it matters how much was mixed: a strength was given, or the shares differ."""
        known = {f"{arm.mixed:.2f}" for arm in self.every if arm.mixed is not None}
        strong = any(arm.settings.get("mixing.strength") is not None for arm in self.every)
        return len(known) > 1 or bool(known and strong)

    @property
    def is_comparison(self) -> bool:
        """Whether there are results of several arms."""
        return len(self.arms) > 1 and bool(self.checkpoints)

    @property
    def headline(self) -> str:
        """The checkpoint of the verdict: the one chosen on validation data, if there is one."""
        return self.checkpoints[0] if self.checkpoints else "last"


@dataclass(frozen=True)
class Comparison:
    """Everything a report says."""

    question: Question
    blocks: tuple[Block, ...]
    runs: tuple[StoredRun, ...]  # all that were found
    sweeps: tuple[Path, ...]
    notes: tuple[str, ...]  # about runs that belong to no block

    @cached_property
    def statuses(self) -> dict[str, int]:
        """How many runs have which status, finished first."""
        counts = Counter({run.folder: run.status for run in self.runs}.values())
        return {status: counts[status] for status in STATUSES if counts[status]}

    @cached_property
    def places(self) -> dict[tuple[Path, str], tuple[str, str]]:
        """Block and arm of each run, by its place; a run of no block has its folder's name."""
        places = {
            run.place: (block.title, arm.label)
            for block in self.blocks
            for arm in block.every
            for run in arm.runs
        }
        for run in self.runs:
            places.setdefault(run.place, ("", one_line(run.slug, 60)))
        return places


def compare_runs(found: Found, question: Question | None = None) -> Comparison:
    """Group runs into arms and blocks and compare each arm with its block's baseline.

    Raises:
        UserError: if no run has the metric, or if `by` or `baseline` name nothing.
    """
    question = question or Question()
    runs = _mark_duplicates(found.runs)
    _check_metric(runs, question.metric)
    question = as_recorded(question, runs)
    grouped = _group(runs)
    known = {arm: members for arm, members in grouped.items() if any(r.config for r in members)}
    settings = _arm_settings(known)
    _check_by(settings, question.by)
    blocks = _blocks(known, settings, question)
    if question.baseline is not None and all(block.baseline is None for block in blocks):
        labels = sorted({arm.label for block in blocks for arm in block.arms}, key=words.natural)
        raise UserError(f"no arm is called {question.baseline}; choose one of {', '.join(labels)}")
    notes = [caveats.not_begun(members) for arm, members in grouped.items() if arm not in known]
    notes += [*cautions.wide_margin(question), *found.notes]
    return Comparison(question, tuple(blocks), tuple(runs), found.sweeps, tuple(notes))


def headline_metric(runs: Sequence[StoredRun]) -> str:
    """The default metric: the one that chose the checkpoints, or IoU of segmentations, if all
    finished runs have it; else accuracy. A loss is never the default.

    Of trials of a search it is that of validation, for they are not tested.
    """
    done = finished(runs)
    part = "val" if done and all(run.record.get("trial_of") for run in done) else "test"
    for name in (*_choosing(done), "iou"):
        if done and all(f"{part}/{name}" in run.results("last") for run in done):
            return f"{part}/{name}"
    return f"{part}/accuracy"


def _choosing(done: Sequence[StoredRun]) -> list[str]:
    """The metric that chose the checkpoints, without its `val/`; empty unless there is just one.

    Accuracy is left out, as a segmentation may have it and is compared by IoU all the same.
    """
    names = {str(mapping(run.record.get("monitor")).get("metric")) for run in done}
    name = names.pop() if len(names) == 1 else ""
    is_own = name.startswith("val/") and not name.endswith(("accuracy", "loss"))
    return [name.removeprefix("val/")] if is_own else []


def _mark_duplicates(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """If several folders have the same arm and seed, the finished run that ended last counts."""
    kept: dict[tuple[str, int | None], StoredRun] = {}
    best_last = sorted(
        runs, key=lambda r: (r.status == Status.FINISHED, str(r.record.get("ended")))
    )
    for run in best_last:
        kept[run.arm, run.seed] = run
    return [
        run if run is kept[run.arm, run.seed] or run.seed is None
        else replace(run, status=DUPLICATE, problem="the same run counts from another folder")
        for run in runs
    ]  # fmt: skip


def _check_metric(runs: Sequence[StoredRun], metric: str) -> None:
    names = {
        str(name)
        for run in finished(runs)
        for checkpoint in CHECKPOINTS
        for name in run.results(checkpoint)
        if name != "epoch"
    }
    if names and metric not in names:
        raise UserError(f"no run has the metric {metric}; {_nearest(metric, names)}")


def _check_by(settings: Mapping[str, words.Settings], by: Sequence[str]) -> None:
    keys = {key for one in settings.values() for key in one}
    for name in by:
        if keys and not any(words.belongs(key, [name]) for key in keys):
            raise UserError(f"no configuration has {name}; {_nearest(name, keys)}")


def _nearest(name: str, names: set[str]) -> str:
    """The nearest name, or all names."""
    near = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.5)
    listed = one_line(", ".join(sorted(names)), 400)
    return f"did you mean {one_line(near[0])}?" if near else f"choose one of {listed}"


def _group(runs: Sequence[StoredRun]) -> dict[str, list[StoredRun]]:
    """Runs by arm, in the order of their seeds."""
    grouped: dict[str, list[StoredRun]] = defaultdict(list)
    for run in sorted(runs, key=lambda r: (r.seed is None, r.seed or 0, r.folder)):
        if run.status != DUPLICATE:
            grouped[run.arm].append(run)
    return dict(grouped)


def _arm_settings(grouped: Mapping[str, Sequence[StoredRun]]) -> dict[str, words.Settings]:
    """Each arm's settings, without keys that follow the seed."""
    every = {
        arm: [words.settings(run) for run in runs if run.config] for arm, runs in grouped.items()
    }
    follows_seed: set[str] = set()
    for settings in every.values():
        follows_seed |= set().union(*settings) - words.common(settings)
    return {
        arm: {key: value for key, value in settings[0].items() if key not in follows_seed}
        for arm, settings in every.items()
    }


def _blocks(
    grouped: Mapping[str, Sequence[StoredRun]],
    settings: Mapping[str, words.Settings],
    question: Question,
) -> list[Block]:
    """One block for each set of arms whose settings outside `by` are equal."""
    members: dict[frozenset[tuple[str, object]], list[str]] = defaultdict(list)
    for arm, one in settings.items():
        fixed = {key: value for key, value in one.items() if not words.belongs(key, question.by)}
        members[frozenset(fixed.items())].append(arm)
    always = [group for group in ("data", "model") if group not in question.by]
    bare = [*always, "evaluation"]
    titles = words.describe([dict(fixed) for fixed in members], always=always, bare=bare)
    blocks = [
        _compare_block(", ".join(title), {arm: grouped[arm] for arm in arms}, settings, question)
        for title, arms in zip(titles, members.values(), strict=True)
    ]
    return sorted(blocks, key=lambda block: words.natural(block.title))


def _compare_block(
    title: str,
    grouped: dict[str, Sequence[StoredRun]],
    settings: Mapping[str, words.Settings],
    question: Question,
) -> Block:
    labels = words.labels({arm: settings[arm] for arm in grouped}, question.by)
    baseline, remarks = _choose_baseline(labels, settings, question)
    order = sorted(grouped, key=lambda arm: (arm != baseline, words.natural(labels[arm])))
    found = results({arm: grouped[arm] for arm in order}, baseline, question)
    costs = {arm: _cost(grouped[arm]) for arm in order}
    base_cost = costs[baseline] if baseline else None
    arms = [
        Arm(
            label=labels[arm],
            settings=settings[arm],
            runs=tuple(grouped[arm]),
            results={checkpoint: found[checkpoint][arm] for checkpoint in found},
            cost=(cost := costs[arm]),
            cost_ratio=cost / base_cost if cost and base_cost else None,
            mixed=_mixed(grouped[arm]),
        )
        for arm in order
    ]
    runs_by_label = {labels[arm]: grouped[arm] for arm in order}
    remarks += caveats.about(runs_by_label, labels[baseline] if baseline else None, found, question)
    return Block(title, tuple(arms), arms[0] if baseline else None, tuple(found), tuple(remarks))


def _choose_baseline(
    labels: Mapping[str, str], settings: Mapping[str, words.Settings], question: Question
) -> tuple[str | None, list[str]]:
    """The arm to compare with (requested, unmixed, or the first), and notes on the choice."""
    if question.baseline is not None:
        named = [arm for arm in labels if labels[arm] == question.baseline]
        return (named[0], []) if named else (None, [f"no arm is called {question.baseline}"])
    by_mixing = "mixing" in question.by
    usual = {arm for arm in labels if settings[arm].get("evaluation.name", PLAINLY) == PLAINLY}
    in_order = sorted(labels, key=lambda arm: (arm not in usual, words.natural(labels[arm])))
    unmixed = [arm for arm in in_order if settings[arm].get("mixing", "") is None]
    if by_mixing and unmixed:
        return unmixed[0], []
    first = in_order[0]
    if len(labels) == 1 or (question.by == ("evaluation",) and first in usual):
        return first, []
    why = "no arm is without mixing, so " if by_mixing else ""
    return first, [f"{why}the baseline is {labels[first]} (--baseline chooses another)"]


def _cost(runs: Sequence[StoredRun]) -> float | None:
    """Median seconds per epoch of the finished runs; None for tests of them in other ways."""
    done = [run for run in finished(runs) if run.is_plain]
    seconds = [finite_number(run.record.get("seconds_per_epoch")) for run in done]
    known = [s for s in seconds if s]
    return plain.median(known) if known else None


def _mixed(runs: Sequence[StoredRun]) -> float | None:
    """The mean over the finished runs; None where none recorded it."""
    shares = [finite_number(run.record.get("mixed_share")) for run in finished(runs)]
    known = [share for share in shares if share is not None]
    return plain.fmean(known) if known else None
