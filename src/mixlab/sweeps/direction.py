"""Whether more or less of a metric is better."""

from typing import Any

from omegaconf import DictConfig

from mixlab.config.allowlist import locate
from mixlab.errors import UserError

HIGHER = {"accuracy": True, "loss": False}  # of every model of ours


def direction_of(cfg: DictConfig, metric: str, given: str | None) -> str:
    """`maximize` or `minimize`.

    Args:
        given: what the user says.

    Raises:
        UserError: the user says the opposite of what the metric says of itself, or nobody says.
    """
    higher = higher_is_better(cfg, metric.partition("/")[2])
    inferred = None if higher is None else "maximize" if higher else "minimize"
    if inferred is None and given is None:
        raise UserError(
            f"nothing says whether more {metric} is better; add hydra.sweeper.direction=maximize "
            "or minimize"
        )
    if None not in (inferred, given) and inferred != given:
        better = "more" if higher else "less"
        raise UserError(
            f"hydra.sweeper.direction={given}, but {better} {metric} is better; leave it out, or "
            f"give {inferred}"
        )
    return str(given or inferred)


def higher_is_better(cfg: DictConfig, name: str) -> bool | None:
    """What a metric's node or its class says; None where neither does."""
    node: Any = (cfg.get("metrics") or {}).get(name) or {}
    if node.get("higher_is_better") is not None:
        return bool(node["higher_is_better"])
    if node.get("_target_") is None:
        return HIGHER.get(name)
    found = locate(node["_target_"], cfg.get("allow") or ())
    says = getattr(found, "higher_is_better", None)
    return says if isinstance(says, bool) else None
