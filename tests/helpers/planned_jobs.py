"""Jobs of a sweep in a folder of the test's."""

from pathlib import Path

from omegaconf import DictConfig

from helpers.small_runs import composed
from mixlab.sweeps import grid


def planned(folder: Path, seeds: list[int] | None, *arm_overrides: list[str]) -> list[grid.Job]:
    def compose(overrides: list[str]) -> DictConfig:
        cfg = composed(*overrides).copy()
        cfg.paths.log_dir = str(folder / "logs")
        return cfg

    return grid.plan(list(arm_overrides), seeds, compose)
