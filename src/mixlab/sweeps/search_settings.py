"""What a search is asked for, checked before it begins."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.errors import UserError
from mixlab.runs.status import Existing
from mixlab.sweeps.direction import direction_of
from mixlab.sweeps.search import ONE_SEED

DIRECTIONS = ("minimize", "maximize")
WARM_UP = 1 / 3  # of the epochs before anything is pruned: strong mixing learns slowly at first


@dataclass(frozen=True)
class SearchSettings:
    """What `hydra.sweeper` says of a search."""

    n_trials: int
    n_jobs: int
    direction: str
    seed: int
    sampler: Mapping[str, Any]  # `_target_` and arguments
    pruner: Mapping[str, Any] | None
    storage: str | None
    study_name: str | None


def checked_metric(base: DictConfig) -> str:
    """What a search goes by."""
    if base.get("seeds") is not None or base.get("arms") is not None:
        raise UserError(ONE_SEED)
    if base.get("optimized_metric") is None:
        raise UserError("a search needs a figure to go by: optimized_metric=val/accuracy, say")
    if base.get("existing") in (Existing.NEW, Existing.REPLACE):
        raise UserError(
            f"existing={base.existing} would train trials of a search again; begin another search "
            "with task_name=..., or keep what is there with existing=reuse"
        )
    return base.optimized_metric


def settings_of_search(node: Mapping[str, Any], base: DictConfig, metric: str) -> SearchSettings:
    """`hydra.sweeper` of a search, checked."""
    for name in ("n_trials", "n_jobs"):
        value = node.get(name)
        if type(value) is not int or value < 1:
            raise UserError(f"hydra.sweeper.{name} must be a whole number above 0, got {value!r}")
    given = node.get("direction")
    if given is not None and given not in DIRECTIONS:
        raise UserError(f"hydra.sweeper.direction must be minimize or maximize, got {given!r}")
    sampler = dict(node.get("sampler") or {"_target_": "optuna.samplers.TPESampler"})
    seed = sampler.pop("seed", None) or 0
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise UserError(f"hydra.sweeper.sampler.seed must be in [0, 2**32), got {seed!r}")
    pruner = dict(node.get("pruner") or {})
    if "n_warmup_steps" in pruner and pruner["n_warmup_steps"] is None:
        epochs = OmegaConf.select(base, "trainer.max_epochs") or 0
        pruner["n_warmup_steps"] = max(1, int(epochs * WARM_UP))
    return SearchSettings(
        node["n_trials"], node["n_jobs"], direction_of(base, metric, given), seed, sampler,
        pruner or None, node.get("storage"), node.get("study_name"),
    )  # fmt: skip
