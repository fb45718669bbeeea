"""A sweep: its list, a record for each of its runs, and what is said of them at the end."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mixlab.errors import UserError, counted
from mixlab.runs.atomic import make_folder, read_json, write_json
from mixlab.runs.folder import Run, is_begun
from mixlab.runs.identity import file_name, run_folder
from mixlab.runs.locks import ANOTHER, is_running
from mixlab.runs.provenance import changed_files, code_hashes
from mixlab.runs.records import shown_path
from mixlab.runs.status import RETRIED, RETRY, next_action, other_code
from mixlab.sweeps import launch
from mixlab.sweeps.grid import Job
from mixlab.sweeps.worker import JobSpec
from mixlab.training.resume import check_data_of


def begin(jobs: Sequence[Job], config: DictConfig, retry: Sequence[str] = ()) -> list[Job]:
    """Write the list of the sweep's runs, relative to its folder; returns those yet to be made.

    Each of them that has no record gets one, `planned`. With `rerun` what there is is set aside.

    Raises:
        ValueError: some were made by other code, and `code` does not say what then.
        RuntimeError: with `rerun`, some are being trained.
    """
    if jobs and jobs[0].arm.get("rerun"):
        set_aside(jobs)
    fates = list(zip(jobs, standings(jobs, retry), strict=True))
    missing = [job for job, fate in fates if fate in ("go on", "afresh")]
    check_finished_data([job for job, fate in fates if fate == "done"])
    folder = sweep_folder(config)
    runs = [os.path.relpath(job.folder, folder) for job in jobs]
    write_json(folder / "sweep.json", {"name": folder.name, "runs": runs})
    plan_records(missing)
    for job in missing:
        job.arm.sweep.retry = list(retry)  # the job itself asks again
    count = Counter(fate for _, fate in fates)
    already = f", {count['done']} of them finished" if count["done"] else ""
    on = sum(fate == "go on" and is_begun(job.folder) for job, fate in fates)
    already += f", {on} begun and to go on" if on else ""
    left = f", {count['leave']} left as they failed" if count["leave"] else ""
    print(
        f"{counted(len(jobs), 'run')}{already}{left}, "
        f"listed in {shown_path(folder / 'sweep.json')}",
        flush=True,
    )
    return missing


def standings(jobs: Sequence[Job], retry: Sequence[str] = ()) -> list[str]:
    """What is to be done about each job; no process is started for what is done or left."""
    code = code_hashes(jobs[0].arm.get("allow", ())) if jobs else {}
    fates, asked = [], []
    for job in jobs:
        record = read_json(job.folder / "run.json")
        changed = changed_files(record.get("code", {}), code)
        fates.append(next_action(record, changed, job.arm.code, retry, is_begun(job.folder)))
        if fates[-1] == "ask":
            asked.append((job.folder, changed))
    if asked:
        raise UserError(other_code([folder for folder, _ in asked], asked[0][1]))
    return fates


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
                arms[job.folder.parent] = described(job.arm, job.folder.parent)
            make_folder(job.folder)
            record = {"status": "planned", **arms[job.folder.parent], "seed": job.seed}
            write_json(job.folder / "run.json", record, durable=False)


def described(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """What `run.json` says of an arm before it is trained."""
    slug, _, digits = folder.name.rpartition("-")
    return {"task_name": cfg.task_name, "arm": slug, "hash": digits, "tags": list(cfg.tags)}


def set_aside(jobs: Sequence[Job]) -> None:
    """Move what there is of the jobs away, and none of it while one of them is being trained."""
    running = [job.folder for job in jobs if is_running(job.folder)]
    if running:
        raise RuntimeError(
            f"{running[0]} is being trained by {ANOTHER}; wait for it or end it before rerun=true"
        )
    for job in jobs:
        if (job.folder / "run.json").exists():
            with Run.open(job.config):
                pass
    for job in jobs:
        job.arm.rerun = False  # or the job would do it again
    print("what was there is kept as seed-<n>.<number>; leave rerun=true out to go on with these")


def tickets(jobs: Sequence[Job], threads: int) -> list[JobSpec]:
    """What the jobs' processes need; an arm is written out once for all its seeds."""
    texts = {}
    for job in jobs:
        if job.folder.parent not in texts:
            texts[job.folder.parent] = launch.written_out(job.arm, threads)
    at = re.compile("^seed: .*$", re.M)
    return [
        JobSpec(at.sub(f"seed: {job.seed}", texts[job.folder.parent], count=1), job.folder)
        for job in jobs
    ]


def end(jobs: Sequence[Job], config: DictConfig) -> None:
    """Say what is not finished and what to do next; exit with 1 if anything is not.

    With 2 where each is something that the command line or the data can mend, as a single run does.

    The run folders are the truth, whichever launcher there was.
    """
    records = [(job, read_json(job.folder / "run.json")) for job in jobs]
    missing = [(job, record) for job, record in records if record.get("status") != "finished"]
    for job, record in missing:
        status, why = record.get("status", "missing"), record.get("error") or "it was not begun"
        if status == "running":
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
        yield f"{RETRY}={','.join(retry)} added to the same command trains the {which} again"


def job_return(cfg: DictConfig) -> Any:
    """What a launcher hands to Hydra's other sweepers."""
    from hydra.core.utils import JobReturn, JobStatus

    record = read_json(run_folder(cfg) / "run.json")
    result = JobReturn()
    if record.get("status") == "finished":
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
