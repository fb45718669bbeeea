"""Train one configuration: `mixlab-train`, or `train(cfg)` from anywhere."""

from omegaconf import DictConfig

from mixlab.cli import run_hydra
from mixlab.config.mixable import check_mixable
from mixlab.runs.status import optimized
from mixlab.training.ranks import launched
from mixlab.training.supervise import train


def main() -> None:
    """The command `mixlab-train`."""
    run_hydra(for_sweeper, "train")


def for_sweeper(cfg: DictConfig) -> float | None:
    """Train, and return what a sweeper optimizes; of several ranks only in the first."""
    check_mixable(cfg)
    results, launch = train(cfg), launched()
    return optimized(results, cfg.optimized_metric) if launch is None or not launch.rank else None


if __name__ == "__main__":
    main()
