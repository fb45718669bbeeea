"""Hydra's plugins for sweeps, a sweeper and a launcher. The work is done in `mixlab.sweeps`."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher

from mixlab.runtime import no_garbage_collection
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
class OptunaSweeperConf:
    """A search. The keys of Hydra's plugin of this name, which is for the Optuna of 2022, work."""

    _target_: str = "hydra_plugins.mixlab.plugins.OptunaSweeper"
    _recursive_: bool = False
    n_trials: int = 20  # in all: the same command again continues up to this number
    n_jobs: int = 4  # trials that are chosen together; as many at a time are trained as fit
    direction: str | None = None  # maximize or minimize; known for our metrics
    storage: str | None = None  # sqlite in the sweep's folder, or any address that Optuna takes
    study_name: str | None = None  # the name of the sweep's folder
    max_failure_rate: float | None = None  # not used: a failed trial never ends a search
    sampler: dict[str, Any] = field(
        default_factory=lambda: {
            "_target_": "optuna.samplers.TPESampler",
            "seed": 0,  # of the search; its trials are trained at other seeds
            "constant_liar": True,  # or the trials of a batch would be alike
        }
    )
    pruner: dict[str, Any] | None = field(
        default_factory=lambda: {  # null: every trial is trained to its end
            "_target_": "optuna.pruners.MedianPruner",
            "n_startup_trials": 5,  # trained to their end first
            "n_warmup_steps": None,  # epochs before a trial may be pruned; a third of them
        }
    )
    params: dict[str, str] | None = field(default_factory=dict)


@dataclass
class RayLauncherConf:
    _target_: str = "hydra_plugins.mixlab.plugins.RayLauncher"
    num_cpus: float | None = None  # of a job; one for each of its processes
    num_gpus: float | None = None  # 0.5: two jobs share a GPU
    address: str | None = None  # auto or host:port joins a cluster; null starts one here
    max_retries: int = 3  # after a worker or a node has died


@dataclass
class SlurmLauncherConf(SlurmOptions):
    _target_: str = "hydra_plugins.mixlab.plugins.SlurmLauncher"


store = ConfigStore.instance().store
store(group="hydra/sweeper", name="mixlab", node=MixlabSweeperConf, provider="mixlab")


def store_ours() -> None:
    """Called again when all plugins are known: ours replace Hydra's own of the same names."""
    store(group="hydra/sweeper", name="optuna", node=OptunaSweeperConf, provider="mixlab")
    store(group="hydra/launcher", name="ray", node=RayLauncherConf, provider="mixlab")


store_ours()
store(group="hydra/launcher", name="processes", node=ProcessesLauncherConf, provider="mixlab")
store(group="hydra/launcher", name="slurm", node=SlurmLauncherConf, provider="mixlab")


class MixlabSweeper(BasicSweeper):
    """The basic sweeper with `seeds=` and `arms=`; equal arms are trained once."""

    def sweep(self, arguments: list[str]) -> Any:
        with no_garbage_collection():
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


class OptunaSweeper(MixlabSweeper):
    """Searches with Optuna; see `OptunaSweeperConf`."""

    def __init__(self, params: dict[str, str] | None = None, **settings: Any) -> None:
        super().__init__(max_batch_size=None, params=params)
        self.settings = settings

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        from mixlab.sweeps.study import check_optuna

        check_optuna()
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        from mixlab.sweeps import grid, trials
        from mixlab.sweeps.best import end_search
        from mixlab.sweeps.compose import Composer
        from mixlab.sweeps.space import axes_of

        assert self.config is not None and self.hydra_context is not None and self.launcher
        launcher = self.launcher
        params = [f"{key}={value}" for key, value in (self.params or {}).items()]
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = grid.merged(*map(parser.parse_overrides, (params, arguments)))
        compose = Composer(self.hydra_context, self.config)
        axes = axes_of(overrides, compose.is_group)
        fixed = [str(each.input_line) for each in overrides if not each.is_sweep_override()]
        with trials.begin_search(axes, fixed, compose, self.config) as search:
            trials.run_search(search, lambda jobs: launcher.launch(jobs, 0), self.config)
            end_search(search, self.config)


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

    @abstractmethod
    def check(self) -> None:
        """Raise UserError if the launcher's own settings are wrong or something is missing."""

    @abstractmethod
    def train(self, jobs: list[Any]) -> None:
        """Train each job (`mixlab.sweeps.grid.Job`); how it ended is read from its run folder."""


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


class RayLauncher(JobsLauncher):
    """Gives every job a task of a Ray cluster."""

    def __init__(
        self,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        address: str | None = None,
        max_retries: int = 3,
    ) -> None:
        from mixlab.sweeps.ray_cluster import RaySettings

        self.settings = RaySettings(num_cpus, num_gpus, address, max_retries)

    def check(self) -> None:
        from mixlab.sweeps.ray_cluster import check_reachable, import_ray

        self.settings.check()
        import_ray()
        check_reachable(self.settings.address or "")

    def train(self, jobs: list[Any]) -> None:
        from mixlab.sweeps.ray_launch import launch_on_ray

        launch_on_ray(jobs, self.settings)


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
