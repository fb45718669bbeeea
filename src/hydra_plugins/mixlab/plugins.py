"""Hydra's plugins for sweeps, a sweeper and a launcher. The work is done in `mixlab.sweeps`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher

from mixlab.sweeps.slurm.options import SlurmOptions


@dataclass
class MixlabSweeperConf:
    _target_: str = "hydra_plugins.mixlab.plugins.MixlabSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = field(default_factory=dict)


@dataclass
class ProcessesLauncherConf:
    _target_: str = "hydra_plugins.mixlab.plugins.ProcessesLauncher"
    jobs: int | None = None  # at a time; by default one per core, or one per GPU
    jobs_per_device: int = 1  # to share a GPU


@dataclass
class SlurmLauncherConf(SlurmOptions):
    _target_: str = "hydra_plugins.mixlab.plugins.SlurmLauncher"


store = ConfigStore.instance().store
store(group="hydra/sweeper", name="mixlab", node=MixlabSweeperConf, provider="mixlab")
store(group="hydra/launcher", name="processes", node=ProcessesLauncherConf, provider="mixlab")
store(group="hydra/launcher", name="slurm", node=SlurmLauncherConf, provider="mixlab")


class MixlabSweeper(BasicSweeper):
    """The basic sweeper with `seeds=` and `arms=`; equal arms are trained once."""

    def sweep(self, arguments: list[str]) -> Any:
        from mixlab.sweeps import grid, sweep
        from mixlab.sweeps.compose import Composer
        from mixlab.sweeps.summary_run import send_summary

        assert self.config is not None and self.hydra_context is not None and self.launcher
        params = [f"{key}={value}" for key, value in (self.params or {}).items()]
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        of_config, given = map(parser.parse_overrides, (params, arguments))
        overrides = grid.merged(of_config, given)
        arms = grid.arms(overrides, self.split_arguments)
        compose = Composer(self.hydra_context, self.config)
        jobs = grid.plan(arms, grid.requested_seeds(overrides), compose)
        plan = sweep.begin(jobs, self.config, grid.retried(overrides))
        self.launcher.launch(plan.to_train, initial_job_idx=0)
        send_summary(jobs, self.config, again=bool(plan.to_train))
        sweep.end(jobs, self.config)


class JobsLauncher(Launcher):
    """Takes the jobs of our sweeper, or those of any other; a subclass trains them."""

    context: Any = None
    config: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.context, self.config = hydra_context, config
        self.check()  # before any run is planned

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        from mixlab.sweeps import search, sweep
        from mixlab.sweeps.compose import Composer
        from mixlab.sweeps.grid import Job, single_job

        compose = Composer(self.context, self.config)
        jobs = [
            words if isinstance(words, Job) else single_job(list(words), compose)
            for words in job_overrides
        ]
        if not all(isinstance(words, Job) for words in job_overrides):
            search.check_search(jobs, self.config)
            sweep.list_runs(jobs, self.config, more=initial_job_idx > 0)
        distinct = {job.folder: job for job in jobs}  # another sweeper may ask for one run twice
        self.train(list(distinct.values()))
        return search.job_returns(jobs)

    def check(self) -> None:
        """Raise UserError if the launcher's own settings are wrong or something is missing."""
        raise NotImplementedError

    def train(self, jobs: list[Any]) -> None:
        """Train each job (`mixlab.sweeps.grid.Job`); how it ended is read from its run folder."""
        raise NotImplementedError


class ProcessesLauncher(JobsLauncher):
    """Gives every job a process on this machine."""

    def __init__(self, jobs: int | None = None, jobs_per_device: int = 1) -> None:
        self.jobs = jobs
        self.jobs_per_device = jobs_per_device

    def check(self) -> None:
        from mixlab.sweeps.launch import check_knobs

        check_knobs(self.jobs, self.jobs_per_device)

    def train(self, jobs: list[Any]) -> None:
        from mixlab.sweeps.launch import launch

        launch(jobs, self.jobs, self.jobs_per_device)


class SlurmLauncher(JobsLauncher):
    """Gives every job of the sweep a job of a SLURM cluster."""

    def __init__(self, **options: Any) -> None:
        self.options = SlurmOptions(**options)

    def check(self) -> None:
        from mixlab.sweeps.slurm.queue import check_slurm

        self.options.check(list(self.config.hydra.overrides.hydra))
        check_slurm()

    def train(self, jobs: list[Any]) -> None:
        from mixlab.sweeps.slurm.follow import train_on_cluster
        from mixlab.sweeps.sweep import sweep_folder

        train_on_cluster(jobs, self.options, sweep_folder(self.config))
