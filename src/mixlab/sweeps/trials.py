"""A search: trials are asked of a study, trained as the jobs of a sweep, and told to it."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from mixlab.config.build import plain
from mixlab.errors import UserError
from mixlab.runs.atomic import read_json
from mixlab.runs.identity import arm_hash
from mixlab.runs.locks import lock
from mixlab.runs.records import shown_path
from mixlab.runs.status import BROKEN, Status, optimized
from mixlab.runs.trials import TRIAL_SEEDS
from mixlab.sweeps import sweep
from mixlab.sweeps.compose import Composer
from mixlab.sweeps.grid import SWEEP_KEYS, Job
from mixlab.sweeps.pruning import watching_trials
from mixlab.sweeps.search import ONE_SEED
from mixlab.sweeps.search_settings import SearchSettings, checked_metric, settings_of_search
from mixlab.sweeps.space import Axis, check_axes, trial_words
from mixlab.sweeps.study import (
    asked_of,
    in_flight,
    is_finite,
    next_trial,
    open_study,
    ranked,
    told_trials,
)

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

Train = Callable[[Sequence[Job]], Any]


@dataclass(frozen=True)
class Search:
    """A search that has been checked: what it varies, and the study that it asks.

    Attributes:
        fixed: overrides that all trials share.
        folder: of the sweep.
        metric: what the trials are ranked by, on validation.
    """

    axes: list[Axis]
    fixed: list[str]
    compose: Composer
    settings: SearchSettings
    metric: str
    seed: int
    folder: Path
    study: "Study"

    def job(self, trial: "Trial") -> Job:
        """The run of a trial. It is the same run for equal trials."""
        words = trial_words(trial, self.axes, self.fixed, self.compose)
        cfg = self.compose(words)
        own = {"seed": self.seed, "trial_of": self.folder.name}
        return Job.of(words, cfg, own)


@contextmanager
def begin_search(
    axes: list[Axis], fixed: list[str], compose: Composer, config: DictConfig
) -> Iterator[Search]:
    """Check a search before anything is trained, open its study, and keep other processes off.

    Raises:
        UserError: the search cannot be made as it is asked for.
    """
    if any(axis.key in SWEEP_KEYS for axis in axes):
        raise UserError(ONE_SEED)
    check_axes(axes, fixed, compose)
    base = compose([*fixed, *(f"{a.word}={a.values.choices[0]}" for a in axes if a.is_group)])  # pyright: ignore
    metric = checked_metric(base)
    folder = sweep.sweep_folder(config)
    settings = settings_of_search(plain(config.hydra.sweeper), base, metric)
    seed = TRIAL_SEEDS + int(base.seed)
    if seed >= 2**32:
        raise UserError(f"seed={base.seed} is too large for a search, which adds {TRIAL_SEEDS}")
    asked = asked_of(axes, metric, settings, arm_hash(compose(fixed)))
    descriptor = lock(folder)
    if descriptor is None:
        raise UserError(f"another process makes the search in {folder}; wait for it or end it")
    try:
        study = open_study(settings, folder, asked)
        yield Search(axes, fixed, compose, settings, metric, seed, folder, study)
    finally:
        os.close(descriptor)


def run_search(search: Search, train: Train, config: DictConfig) -> None:
    """Train trials until there are as many as asked for; those of a killed search come first."""
    study, settings = search.study, search.settings
    check_trials_code(search)
    print_begin(search)
    while (left := settings.n_trials - len(told_trials(study))) > 0:
        size = min(left, settings.n_jobs)
        batch = in_flight(study)[:size]
        batch += [next_trial(study, settings) for _ in range(size - len(batch))]
        run_batch(search, batch, train, config)


def check_trials_code(search: Search) -> None:
    """Raise UserError if other code made the best trial, unless `existing=reuse`."""
    for best in ranked(search.study)[:1]:
        cfg = search.compose([*search.fixed, *best.user_attrs["words"]])
        sweep.planned([Job.of([], cfg, {"seed": search.seed})])


def run_batch(search: Search, batch: "Sequence[Trial]", train: Train, config: DictConfig) -> None:
    """Train some trials at the same time, and tell the study how each ended."""
    jobs = [(trial, search.job(trial)) for trial in batch]
    distinct = {job.folder: job for _, job in jobs}
    plan = sweep.planned(list(distinct.values()), again(list(distinct)))
    sweep.check_finished_data(plan.skip)
    sweep.list_runs(list(distinct.values()), config, more=True)
    sweep.plan_records(plan.to_train, sweep.arm_labels(list(distinct.values())))
    watched = {job.folder: trial for trial, job in reversed(jobs)}
    if plan.to_train:
        with watching_trials(watched, search.metric):
            train(plan.to_train)
    for trial, job in jobs:
        tell_study(search, trial, job)


def again(folders: Sequence[Path]) -> tuple[Status, ...]:
    """A trial in flight that failed by a mistake is trained again: the user may have fixed it."""
    mistakes = (read_json(folder / "run.json").get("user_error") for folder in folders)
    return (Status.FAILED,) if any(mistakes) else ()


def tell_study(search: Search, trial: "Trial", job: Job) -> None:
    """Tell the study how a trial ended, and print a line.

    Raises:
        UserError: by a mistake that the user can fix; the trial is repeated next time.
        SystemExit: it was interrupted, and not the search with it.
    """
    from optuna.trial import TrialState

    record = read_json(job.folder / "run.json")
    status = record.get("status")
    if record.get("user_error"):
        raise UserError(f"{shown_path(job.folder)}: {record.get('error')}")
    trial.set_user_attr("run", shown_path(job.folder))
    trial.set_user_attr("words", job.overrides[len(search.fixed) :])
    if status == Status.FINISHED:
        value = optimized(record["results"], search.metric)
        state = TrialState.COMPLETE if is_finite(value) else TrialState.FAIL
        search.study.tell(trial, value if is_finite(value) else None, state=state)
    elif status == Status.PRUNED:
        search.study.tell(trial, state=TrialState.PRUNED)
    elif status in BROKEN:
        search.study.tell(trial, state=TrialState.FAIL)
    else:
        print(f"{status}: {shown_path(job.folder)}: {record.get('error')}")
        print("the search stops here; the same command continues it")
        raise SystemExit(1)
    trial_line(search, trial.number, record)


def print_begin(search: Search) -> None:
    """How much there is to do, and where it is kept."""
    done, settings = len(told_trials(search.study)), search.settings
    of = f", {done} of them done" if done else ""
    print(
        f"search for the best {search.metric} ({settings.direction}): {settings.n_trials} "
        f"trials{of}, at seed {search.seed}, kept in {shown_path(search.folder)}",
        flush=True,
    )


def trial_line(search: Search, number: int, record: Mapping[str, Any]) -> None:
    """`trial 3: mixing=cutmix ...: val/accuracy 0.9510 (best so far: trial 1, 0.9600)`."""
    trial = search.study.trials[number]
    best = ranked(search.study)[:1]
    outcome = f"{search.metric} {trial.value:.4f}" if trial.state.name == "COMPLETE" else (
        f"{record.get('status')}: {' '.join(str(record.get('error')).split())[:200]}"
    )  # fmt: skip
    so_far = f"best so far: trial {best[0].number}, {best[0].value:.4f}" if best else "none so far"
    print(f"trial {number}: {described(trial)}: {outcome} ({so_far})", flush=True)


def described(trial: Any) -> str:
    """What a trial tries."""
    return " ".join(trial.user_attrs.get("words") or map(str, trial.params.values()))
