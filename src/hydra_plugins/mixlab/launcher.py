"""Hydra's launcher that gives every job of a sweep a process of its own. The work is in mixlab."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher


@dataclass
class ProcessesLauncherConf:
    _target_: str = "hydra_plugins.mixlab.launcher.ProcessesLauncher"
    jobs: int | None = None  # at a time; by default one a core, or one a GPU
    jobs_per_device: int = 1  # to share a GPU


ConfigStore.instance().store(
    group="hydra/launcher", name="processes", node=ProcessesLauncherConf, provider="mixlab"
)


class ProcessesLauncher(Launcher):
    """Takes jobs that our sweeper has composed, and composes those of another sweeper."""

    def __init__(self, jobs: int | None = None, jobs_per_device: int = 1) -> None:
        self.jobs = jobs
        self.jobs_per_device = jobs_per_device
        self.context: Any = None
        self.config: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        from mixlab.sweeps.launch import check_knobs

        check_knobs(self.jobs, self.jobs_per_device)  # before any run is planned
        self.context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        from mixlab.sweeps import launch, sweep
        from mixlab.sweeps.compose import Composer
        from mixlab.sweeps.grid import Job, single_job

        compose = Composer(self.context, self.config)
        jobs = [
            words if isinstance(words, Job) else single_job(list(words), compose)
            for words in job_overrides
        ]
        launch.launch(jobs, self.jobs, self.jobs_per_device)
        return [sweep.job_return(job.folder) for job in jobs]
