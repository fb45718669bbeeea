"""Train one configuration: `mixlab-train`, or `train(cfg)` from anywhere."""

from mixlab.cli import run_hydra
from mixlab.training.supervise import train


def main() -> None:
    """The command `mixlab-train`."""
    run_hydra(train, "train")


if __name__ == "__main__":
    main()
