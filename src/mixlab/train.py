"""Train one configuration: `mixlab-train`, or `train(cfg)` from anywhere."""

from omegaconf import DictConfig

from mixlab.cli import run_hydra
from mixlab.runs.status import optimized
from mixlab.training.supervise import train


def main() -> None:
    """The command `mixlab-train`."""
    run_hydra(for_sweeper, "train")


def for_sweeper(cfg: DictConfig) -> float | None:
    """Train, and return what a sweeper optimizes."""
    return optimized(train(cfg), cfg.optimized_metric)


if __name__ == "__main__":
    main()
