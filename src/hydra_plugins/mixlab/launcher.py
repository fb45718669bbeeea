"""Hydra's launcher that gives every job of a sweep a process of its own. The work is in mixlab."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
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
    """Takes jobs that our sweeper has composed; with another sweeper it composes them."""

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
        from mixlab.sweeps import sweep
        from mixlab.sweeps.compose import compose_job
        from mixlab.sweeps.launch import launch

        configs = [compose_job(self.context, self.config, list(job)) for job in job_overrides]
        launch(configs, self.jobs, self.jobs_per_device)
        return [sweep.job_return(config) for config in configs]

    def launch_jobs(self, jobs: Sequence[Any]) -> None:
        """Train the jobs of our sweeper, some at a time."""
        from mixlab.sweeps import sweep
        from mixlab.sweeps.launch import launch

        written = partial(sweep.tickets, jobs)
        launch([job.arm for job in jobs], self.jobs, self.jobs_per_device, written)
