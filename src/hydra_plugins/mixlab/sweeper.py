"""Hydra's basic sweeper, with `seeds=`, `arms=`, and each arm once. The thinking is in mixlab."""

from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser


@dataclass
class MixlabSweeperConf:
    _target_: str = "hydra_plugins.mixlab.sweeper.MixlabSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = field(default_factory=dict)


ConfigStore.instance().store(
    group="hydra/sweeper", name="mixlab", node=MixlabSweeperConf, provider="mixlab"
)


class MixlabSweeper(BasicSweeper):
    """Plan the runs of a sweep, each arm composed once, and hand them to the launcher."""

    def sweep(self, arguments: list[str]) -> Any:
        from mixlab.sweeps import grid, sweep
        from mixlab.sweeps.compose import Composer

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
        sweep.end(jobs, self.config)
