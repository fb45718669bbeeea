"""A sweep: its list, a record for each of its runs, and what is said of them at the end."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mixlab.errors import UserError, counted
from mixlab.runs.atomic import make_folder, read_json, write_json
from mixlab.runs.folder import Run, is_begun, keep_stale
from mixlab.runs.identity import file_name
from mixlab.runs.locks import ANOTHER, is_running
from mixlab.runs.provenance import changed_files, code_hashes
from mixlab.runs.reach import reached_files
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
    """What becomes of each job of a sweep.

    Attributes:
        skip: finished.
        resume: begun, to be resumed from a checkpoint.
        start: to be trained from the start.
        leave: failed or diverged, and nobody has asked for them.
        stale: of those that are kept, the source files that changed since.
    """

    skip: list[Job]
    resume: list[Job]
    start: list[Job]
    leave: list[Job]
    stale: dict[Path, list[str]]
    to_train: list[Job]  # resume and start, in their order

    def __str__(self) -> str:
        skipped = f", {len(self.skip)} of them finished" if self.skip else ""
        resumed = f", {len(self.resume)} to be resumed" if self.resume else ""
        left = f", {len(self.leave)} left as they failed" if self.leave else ""
        every = len(self.skip) + len(self.to_train) + len(self.leave)
        return f"{counted(every, 'run')}{skipped}{resumed}{left}"


def begin(jobs: Sequence[Job], config: DictConfig, retry: Sequence[str] = ()) -> SweepPlan:
    """Plan a sweep and write the list of its runs, relative to its folder.

    Each run that has no record gets one, `planned`. With `existing=new` what there is is archived.

    Raises:
        ValueError: some were made by other code, and `existing` does not say what then.
        RuntimeError: with `existing=new`, some are being trained.
    """
    if jobs and jobs[0].arm.get("existing") == Existing.NEW:
        jobs = archived(jobs)
    plan = planned(jobs, retry)
    check_finished_data(plan.skip)
    for job in plan.skip:
        if job.folder in plan.stale:
            keep_stale(job.folder, plan.stale[job.folder])
    for job in plan.resume:
        if job.folder in plan.stale:
            changed = first_names(plan.stale[job.folder])
            print(f"resumed, begun by other code ({changed} changed): {job.folder}")
    folder = sweep_folder(config)
    runs = [os.path.relpath(job.folder, folder) for job in jobs]
    write_json(folder / "sweep.json", {"name": folder.name, "runs": runs})
    plan_records(plan.to_train)
    print(f"{plan}, listed in {shown_path(folder / 'sweep.json')}", flush=True)
    return plan


def planned(jobs: Sequence[Job], retry: Sequence[str] = ()) -> SweepPlan:
    """What is to be done about each job; no process is started for what is skipped or left."""
    plan = SweepPlan([], [], [], [], {}, [])
    asked: dict[Path, list[str]] = {}
    for job, changed in with_changes(jobs):
        record, begun = read_json(job.folder / "run.json"), is_begun(job.folder)
        action = next_action(record, changed, own_value(job, "existing"), retry, begun)
        job = replace(job, own={**job.own, "retry": list(map(str, retry))}) if retry else job
        resumed = action is Action.RESUME and begun
        if changed and (resumed or action is Action.SKIP):
            plan.stale[job.folder] = changed
        match action:
            case Action.ASK:
                asked[job.folder] = changed
            case Action.SKIP:
                plan.skip.append(job)
            case Action.LEAVE:
                plan.leave.append(job)
            case Action.RESUME | Action.RESTART:
                (plan.resume if resumed else plan.start).append(job)
                plan.to_train.append(job)
    if asked:
        raise UserError(other_code(list(asked), sorted({*chain(*asked.values())})))
    return plan


def own_value(job: Job, key: str) -> Any:
    """A value of the run's own, or else of its arm."""
    return job.own.get(key, job.arm.get(key))


def with_changes(jobs: Sequence[Job]) -> Iterator[tuple[Job, list[str]]]:
    """Each job with the source files that changed since it was trained."""
    now = code_hashes(jobs[0].arm.get("allow") or ()) if jobs else {}
    reached: dict[Path, list[str]] = {}  # the files of each arm
    for job in jobs:
        before = read_json(job.folder / "run.json").get("code") or {}
        if before and job.folder.parent not in reached:
            reached[job.folder.parent] = reached_files(job.arm)
        yield job, changed_files(before, now, reached.get(job.folder.parent, ()) if before else ())


def check_finished_data(done: Sequence[Job]) -> None:
    """Raise ValueError if data of finished runs have changed since; each data set once."""
    by_data: dict[str, tuple[DictConfig, list[Path]]] = {}
    for job in done:
        by_data.setdefault(str(job.arm.data), (job.arm, []))[1].append(job.folder)
    for arm, folders in by_data.values():
        check_data_of(arm, folders)


def plan_records(jobs: Sequence[Job]) -> None:
    """A record for each job that has none, so that the folders alone tell what was meant."""
    arms: dict[Path, dict[str, Any]] = {}
    for job in jobs:
        if not (job.folder / "run.json").exists():
            if job.folder.parent not in arms:
                arms[job.folder.parent] = arm_facts(job.arm, job.folder.parent)
            make_folder(job.folder)
            record = transition({}, Status.PLANNED, **arms[job.folder.parent], seed=job.seed)
            write_json(job.folder / "run.json", record, durable=False)


def arm_facts(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """What `run.json` says of an arm before it is trained."""
    slug, _, digits = folder.name.rpartition("-")
    return {"task_name": cfg.task_name, "arm": slug, "hash": digits, "tags": list(cfg.tags)}


def archived(jobs: Sequence[Job]) -> list[Job]:
    """Move what there is of the jobs away, and none of it while one of them is being trained.

    Returns:
        The jobs that train in its place, and do not archive it again.
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


def end(jobs: Sequence[Job], config: DictConfig) -> None:
    """Say what is not finished and what to do next; exit with 1 if anything is not.

    With 2 where each is something that the command line or the data can fix, as a single run does.

    The run folders are the truth, whichever launcher there was.
    """
    records = [(job, read_json(job.folder / "run.json")) for job in jobs]
    missing = [(job, record) for job, record in records if record.get("status") != Status.FINISHED]
    for job, record in missing:
        status, why = record.get("status", "missing"), record.get("error") or "it was not begun"
        if status == Status.RUNNING:
            why = f"by {ANOTHER}" if is_running(job.folder) else "its process is gone"
        print(f"{status}: {shown_path(job.folder)}: {' '.join(str(why).split())[:300]}")
    print(f"{len(jobs) - len(missing)} of {len(jobs)} runs finished")
    for advice in advised([record.get("status", "missing") for _, record in missing]):
        print(advice)
    if len(missing) < len(jobs):
        print(f"next: mixlab-compare {shown_path(sweep_folder(config))}", flush=True)
    if missing:
        raise SystemExit(2 if all(record.get("user_error") for _, record in missing) else 1)


def advised(statuses: Sequence[str]) -> Iterator[str]:
    """What to do about runs that are not finished."""
    if set(statuses) - {*RETRIED}:
        yield "the same command again trains what is missing"
    retry = [status for status in RETRIED if status in statuses]
    if retry:
        which = " and ".join(retry)
        yield f"retry={','.join(retry)} added to the same command trains the {which} again"


def job_return(folder: Path) -> Any:
    """What a launcher hands to Hydra's other sweepers."""
    from hydra.core.utils import JobReturn, JobStatus

    record = read_json(folder / "run.json")
    result = JobReturn()
    if record.get("status") == Status.FINISHED:
        result.return_value, result.status = record["results"], JobStatus.COMPLETED
    else:
        result.return_value = RuntimeError(record.get("error") or "the run was not begun")
        result.status = JobStatus.FAILED
    return result


def sweep_folder(config: DictConfig) -> Path:
    """logs/sweeps/<task_name>, made if it is not there."""
    folder = Path(config.hydra.sweep.dir).resolve()
    folder = folder.with_name(file_name(folder.name))
    make_folder(folder)
    return folder
