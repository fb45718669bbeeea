"""A sweep: its list of runs, a record for each of them, and the summary at the end."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mixlab.config.allowlist import targets
from mixlab.config.build import plain
from mixlab.errors import UserError, counted
from mixlab.reporting.labels import knob_labels, settings_of
from mixlab.runs.atomic import make_folder, read_json, write_json
from mixlab.runs.folder import Run, is_begun, keep_stale
from mixlab.runs.identity import file_name
from mixlab.runs.locks import ANOTHER, is_running
from mixlab.runs.provenance import changed_files, code_hashes, command_line
from mixlab.runs.reach import reached_by
from mixlab.runs.records import shown_path
from mixlab.runs.status import (
    RETRIED,
    Action,
    Existing,
    Status,
    first_names,
    next_action,
    other_code,
    transition,
)
from mixlab.sweeps.grid import Job
from mixlab.training.resume import check_data_of


@dataclass(frozen=True)
class SweepPlan:
    """What happens to each job of a sweep.

    Attributes:
        skip: finished jobs.
        to_train: jobs to resume or to start, in order.
        leave: failed, diverged or pruned jobs, which the user has not asked to retry.
        resumed: folders of the jobs that resume from a checkpoint.
        stale: by folder of a run that is kept or resumed, source files that changed since.
    """

    skip: list[Job] = field(default_factory=list)
    to_train: list[Job] = field(default_factory=list)
    leave: list[Job] = field(default_factory=list)
    resumed: list[Path] = field(default_factory=list)
    stale: dict[Path, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        skipped = f", {len(self.skip)} of them finished" if self.skip else ""
        resumed = f", {len(self.resumed)} to be resumed" if self.resumed else ""
        left = f", {len(self.leave)} left as they failed" if self.leave else ""
        every = len(self.skip) + len(self.to_train) + len(self.leave)
        return f"{counted(every, 'run')}{skipped}{resumed}{left}"


def begin(jobs: Sequence[Job], config: DictConfig, retry: Sequence[str] = ()) -> SweepPlan:
    """Plan a sweep and write the list of its runs, relative to its folder.

    Each run without a record gets one, `planned`. With `existing=new`, earlier runs are archived.

    Raises:
        UserError: some runs were made by other code and `existing` does not say what to do; the
            data of finished runs changed; or, with `existing=new`, some runs are being trained.
    """
    if jobs and jobs[0].arm.get("existing") == Existing.NEW:
        jobs = archived(jobs)
    plan = planned(jobs, retry)
    check_finished_data(plan.skip)
    for folder, changed in plan.stale.items():
        if folder in plan.resumed:
            print(f"resumed, begun by other code ({first_names(changed)} changed): {folder}")
        else:
            keep_stale(folder, changed)
    path = list_runs(jobs, config)
    plan_records(plan.to_train, arm_labels(jobs))
    print(f"{plan}, listed in {shown_path(path)}", flush=True)
    return plan


def list_runs(jobs: Sequence[Job], config: DictConfig, more: bool = False) -> Path:
    """Write `sweep.json`: the jobs' folders relative to the sweep's, after those there if `more`.

    Returns:
        The file.
    """
    folder = sweep_folder(config)
    path = folder / "sweep.json"
    before = read_json(path).get("runs", []) if more else []
    runs = [os.path.relpath(job.folder, folder) for job in jobs]
    write_json(path, {"name": folder.name, "runs": list(dict.fromkeys([*before, *runs]))})
    return path


def archived(jobs: Sequence[Job]) -> list[Job]:
    """Archive earlier runs of the jobs, or none of them if one is being trained.

    Returns:
        The jobs that train in their place, which do not archive again.
    """
    running = [job.folder for job in jobs if is_running(job.folder)]
    if running:
        raise UserError(
            f"{running[0]} is being trained by {ANOTHER}; wait for it or end it before existing=new"
        )
    for job in jobs:
        if (job.folder / "run.json").exists():
            with Run.open(job.config):
                pass
    print("archived earlier runs as seed-<n>.<number>; omit existing=new to resume these")
    return [replace(job, own={**job.own, "existing": str(Existing.CHECK)}) for job in jobs]


def planned(jobs: Sequence[Job], retry: Sequence[str] = ()) -> SweepPlan:
    """Decide about each job; no process is started for jobs that are skipped or left."""
    plan = SweepPlan()
    asked: dict[Path, list[str]] = {}
    for job, changed in with_changes(jobs):
        record, begun = read_json(job.folder / "run.json"), is_begun(job.folder)
        existing = job.own.get("existing", job.arm.get("existing"))
        action = next_action(record, changed, existing, retry, begun)
        resumed = action is Action.RESUME and begun
        if changed and (resumed or action is Action.SKIP):
            plan.stale[job.folder] = changed
        if resumed:
            plan.resumed.append(job.folder)
        match action:
            case Action.ASK:
                asked[job.folder] = changed
            case Action.SKIP:
                plan.skip.append(job)
            case Action.LEAVE:
                plan.leave.append(job)
            case Action.RESUME | Action.RESTART:
                own = {**job.own, "retry": list(map(str, retry))} if retry else job.own
                plan.to_train.append(replace(job, own=own))
    if asked:
        raise UserError(other_code(list(asked), sorted({*chain(*asked.values())})))
    return plan


def with_changes(jobs: Sequence[Job]) -> Iterator[tuple[Job, list[str]]]:
    """Each job with the source files that changed since it was trained."""
    allow = (jobs[0].arm.get("allow") or ()) if jobs else ()
    now = code_hashes(allow) if jobs else {}
    reached: dict[tuple[str, ...], list[str]] = {}  # by arms that call the same
    for job in jobs:
        before = read_json(job.folder / "run.json").get("code") or {}
        called = tuple(targets(job.identity)) if before else ()
        if called not in reached:
            reached[called] = reached_by(called, allow) if before else []
        yield job, changed_files(before, now, reached[called])


def check_finished_data(done: Sequence[Job]) -> None:
    """Raise UserError if the data or weights of finished runs changed; each is checked once."""
    by_files: dict[tuple[str, str], tuple[DictConfig, list[Path]]] = {}
    for job in done:
        files = str(job.arm.data), str(job.arm.model.get("pretrained"))
        by_files.setdefault(files, (job.arm, []))[1].append(job.folder)
    for arm, folders in by_files.values():
        check_data_of(arm, folders)


def arm_labels(jobs: Sequence[Job]) -> dict[Path, str]:
    """What tells the arms of a sweep apart, in words, by the folder of the arm."""
    known = {}
    for folder, job in {job.folder.parent: job for job in jobs}.items():
        known[str(folder)] = settings_of({**job.identity, "paths": plain(job.arm.paths)})
    return {Path(folder): label for folder, label in knob_labels(known).items()}


def plan_records(jobs: Sequence[Job], labels: Mapping[Path, str]) -> None:
    """Write a record for each job that has none, so that the folders alone show the plan."""
    arms: dict[Path, dict[str, Any]] = {}
    for job in jobs:
        if not (job.folder / "run.json").exists():
            if job.folder.parent not in arms:
                slug, _, digits = job.folder.parent.name.rpartition("-")
                named = {"task_name": job.arm.task_name, "arm": slug, "hash": digits}
                said = {"label": labels[job.folder.parent], "command": command_line()}
                arms[job.folder.parent] = {**named, **said, "tags": list(job.arm.tags)}
            make_folder(job.folder)
            record = transition({}, Status.PLANNED, **arms[job.folder.parent], seed=job.seed)
            write_json(job.folder / "run.json", record, durable=False)


def end(jobs: Sequence[Job], config: DictConfig) -> None:
    """Print what is not finished and what to do next; exit with 1 if anything is not.

    The exit status is 2 if the user can fix each failure, as for a single run. What happened is
    read from the run folders, for any launcher.
    """
    records = [(job, read_json(job.folder / "run.json")) for job in jobs]
    missing = [(job, record) for job, record in records if record.get("status") != Status.FINISHED]
    for job, record in missing:
        status, why = record.get("status", "missing"), record.get("error") or "it was not begun"
        if status == Status.RUNNING:
            why = f"by {ANOTHER}" if is_running(job.folder) else "its process is gone"
        print(f"{status}: {shown_path(job.folder)}: {' '.join(str(why).split())[:300]}")
    print(f"{len(jobs) - len(missing)} of {len(jobs)} runs finished")
    can_be_mended = all(record.get("user_error") for _, record in missing)
    for advice in advised([record.get("status", "missing") for _, record in missing]):
        print(f"once that is corrected, {advice}" if can_be_mended else advice)
    if len(missing) < len(jobs):
        print(f"next: mixlab-compare {shown_path(sweep_folder(config))}", flush=True)
    if missing:
        raise SystemExit(2 if can_be_mended else 1)


def advised(statuses: Sequence[str]) -> Iterator[str]:
    """What to do about runs that are not finished."""
    if set(statuses) - {*RETRIED}:
        yield "the same command again trains what is missing"
    retry = [status for status in RETRIED if status in statuses]
    if retry:
        which = " and ".join(retry)
        yield f"retry={','.join(retry)} added to the same command trains the {which} again"


def sweep_folder(config: DictConfig) -> Path:
    """logs/sweeps/<task_name>, made if it does not exist."""
    folder = Path(config.hydra.sweep.dir).resolve()
    folder = folder.with_name(file_name(folder.name))
    make_folder(folder)
    return folder
