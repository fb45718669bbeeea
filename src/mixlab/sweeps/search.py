"""A search by another sweeper, such as Optuna's: what it may ask for, and what it gets back."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from mixlab.errors import UserError
from mixlab.runs.atomic import read_json
from mixlab.runs.records import shown_path
from mixlab.runs.status import Status, optimized
from mixlab.sweeps.grid import Job

ONE_SEED = "a search trains one seed a trial: give one seed=..., not seeds= or arms="


def check_search(jobs: Sequence[Job], config: DictConfig) -> None:
    """Raise UserError if another sweeper than ours or Hydra's basic one asks for what it cannot do.

    Such a sweeper chooses the configuration of a trial by the results of those before.
    """
    if str(config.hydra.sweeper._target_).endswith(".BasicSweeper"):
        return
    for arm in (job.arm for job in jobs):
        if arm.get("seeds") is not None or arm.get("arms") is not None:
            raise UserError(ONE_SEED)
        if arm.get("optimized_metric") is None:
            raise UserError("a search needs a figure to go by: optimized_metric=val/accuracy, say")


def job_returns(jobs: Sequence[Job]) -> list[Any]:
    """What a launcher returns to Hydra's other sweepers: `optimized_metric` of each job.

    Raises:
        UserError: each of them failed by a mistake that the user can fix.
    """
    records = [read_json(job.folder / "run.json") for job in jobs]
    if records and all(record.get("user_error") for record in records):
        raise UserError(f"{shown_path(jobs[0].folder)}: {records[0].get('error')}")
    return [job_return(job, record) for job, record in zip(jobs, records, strict=True)]


def job_return(job: Job, record: dict[str, Any]) -> Any:
    result = JobReturn()
    if record.get("status") == Status.FINISHED:
        result.return_value = optimized(record["results"], job.arm.get("optimized_metric"))
        result.status = JobStatus.COMPLETED
    else:
        result.return_value = RuntimeError(record.get("error") or "the run was not begun")
        result.status = JobStatus.FAILED
    return result
