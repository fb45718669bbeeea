"""From composed configurations to jobs on this machine's cores or GPUs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.errors import UserError
from mixlab.runs.configs import dumped
from mixlab.runtime import available_cores, processes_of, threads_for
from mixlab.sweeps.grid import Job
from mixlab.sweeps.pool import run_all
from mixlab.sweeps.progress import Progress
from mixlab.sweeps.worker import JobSpec


def launch(jobs: Sequence[Job], at_once: int | None, jobs_per_device: int) -> None:
    """Train each job in a process of its own, as many at a time as fit the machine."""
    if not jobs:
        return
    places = slots(jobs[0].arm, at_once, jobs_per_device)[: len(jobs)]
    specs = job_specs(jobs, threads_for(jobs[0].arm, len(places)))
    progress = Progress(len(specs))
    with progress.shown():
        try:
            run_all(specs, places, progress)
        except KeyboardInterrupt:
            progress.say("stopped; the same command resumes each run")
            raise


def check_knobs(jobs: int | None, jobs_per_device: int) -> None:
    """Raise UserError unless both are above 0."""
    for name, value in (("jobs", jobs), ("jobs_per_device", jobs_per_device)):
        if value is not None and value < 1:
            raise UserError(f"hydra.launcher.{name} must be above 0, got {value}")


def slots(cfg: DictConfig, jobs: int | None, jobs_per_device: int) -> list[dict[str, str]]:
    """Environment variables of each job that runs at the same time: its GPUs, or none."""
    devices = processes_of(cfg)
    gpus = [] if cfg.trainer.accelerator == "cpu" else visible_gpus()
    if not gpus:
        return [{} for _ in range(jobs or max(1, available_cores() // devices))]
    each = len(gpus) if devices < 1 else devices
    if each > len(gpus):
        raise UserError(
            f"trainer.devices={each}, but there are {len(gpus)} GPUs here; ask for fewer"
        )
    groups = [gpus[start : start + each] for start in range(0, len(gpus) - each + 1, each)]
    shared = [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups] * jobs_per_device
    return shared[:jobs] if jobs else shared


def visible_gpus() -> list[str]:
    """Names of the GPUs for the jobs. Asks only NVML: with CUDA here, no job could fork."""
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return named.split(",")[:count] if named else [str(number) for number in range(count)]


def job_specs(jobs: Sequence[Job], threads: int) -> list[JobSpec]:
    """What the jobs' processes need; the seeds of an arm share its YAML."""
    texts: dict[Path, str] = {}
    for job in jobs:
        if job.folder.parent not in texts:
            written: Any = OmegaConf.to_container(job.arm, resolve=False)
            if written["threads"] == "auto":
                written["threads"] = threads
            written["trainer"]["enable_progress_bar"] = False
            texts[job.folder.parent] = dumped(written)
    return [JobSpec(texts[job.folder.parent], job.folder, job.own) for job in jobs]
