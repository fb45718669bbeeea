"""Hydra's plugins that cannot do what is asked here are refused by name, before anything is run."""

from typing import Any

from omegaconf import DictConfig

from mixlab.errors import UserError

REFUSED_PLUGINS = {  # by what `_target_` begins with
    "hydra_plugins.hydra_optuna_sweeper.": (
        "hydra-optuna-sweeper is for the Optuna of 2022; hydra/sweeper=optuna is mixlab's own here "
        "and takes the same keys, so leave out hydra.sweeper._target_"
    ),
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher": (
        "hydra/launcher=submitit_slurm cannot resume a run that SLURM requeues; for a SLURM "
        "cluster, hydra/launcher=slurm"
    ),
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher": (
        "hydra/launcher=submitit_local starts all jobs of a sweep at once, however many there are; "
        "the default, hydra/launcher=processes, trains as many as fit, or hydra.launcher.jobs=2"
    ),
}


def check_plugins(hydra_cfg: DictConfig) -> None:
    """Raise UserError if a sweeper or launcher is chosen that would not work."""
    for name in ("sweeper", "launcher"):
        node: Any = hydra_cfg.get(name) or {}
        target = str(node.get("_target_"))
        for start, why in REFUSED_PLUGINS.items():
            if target.startswith(start):
                raise UserError(why)
