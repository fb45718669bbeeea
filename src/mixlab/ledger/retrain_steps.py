"""Train a run again for some steps, from one of its checkpoints, outside of its folder."""

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from mixlab.config.keys import leaves
from mixlab.errors import UserError
from mixlab.runs.checkpoints import Broken, load_checkpoint
from mixlab.runs.provenance import check_same_data
from mixlab.runs.records import read_config
from mixlab.training.build import Experiment


@dataclass(frozen=True)
class Start:
    """Where a training can start: at `step`, from a checkpoint or from the initial weights."""

    name: str
    step: int
    checkpoint: Path | None = None


def starts_of(folder: Path) -> tuple[list[Start], list[str]]:
    """The starts of a run, and a line for each broken checkpoint."""
    starts, broken = [], []
    if OmegaConf.select(OmegaConf.load(folder / "config.yaml"), "ckpt_path") is None:
        starts.append(Start("the initial weights", 0))
    for path in sorted((folder / "checkpoints").glob("*.ckpt")):
        try:
            starts.append(Start(path.name, int(load_checkpoint(path)["global_step"]), path))
        except Broken as error:
            broken.append(error.fault)
    return starts, broken


class Enough(Exception):
    """The last of the wanted steps is done."""


class Until(pl.Callback):
    """Keep the losses of some steps, and stop after the last of them."""

    def __init__(self, steps: Iterable[int]) -> None:
        self.steps = set(steps)
        self.losses: dict[int, float] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step - 1
        if step in self.steps and step not in self.losses:
            self.losses[step] = float(outputs["loss"] if isinstance(outputs, dict) else outputs)
        if step >= max(self.steps):
            raise Enough


def losses_again(
    folder: Path, record: dict[str, Any], start: Start, steps: Sequence[int], allow: Sequence[str]
) -> dict[int, float]:
    """The losses of `steps`, with the code that trains; nothing is written to `folder`.

    Raises:
        UserError: the data changed since the run was trained.
    """
    until = Until(steps)
    with tempfile.TemporaryDirectory() as elsewhere:
        cfg = config_elsewhere(folder, Path(elsewhere), allow, record.get("threads"))
        experiment = Experiment.build(cfg, check=partial(check_same_data, record))
        trainer = experiment.trainer
        trainer.callbacks.append(until)  # pyright: ignore[reportAttributeAccessIssue]
        with suppress(Enough):
            trainer.fit(
                experiment.model, experiment.data, ckpt_path=start.checkpoint, weights_only=True
            )
    return until.losses


def config_elsewhere(
    folder: Path, elsewhere: Path, allow: Sequence[str], threads: int | None
) -> DictConfig:
    """The run's configuration, with its files in another folder and without loggers."""
    wishes = OmegaConf.create({"allow": list(allow), "data_path": None, "threads": threads or 1})
    cfg = read_config(folder, wishes)
    plain: Any = OmegaConf.to_container(cfg)
    plain["callbacks"] = writing_to(elsewhere, plain.get("callbacks") or {})
    moved = DictConfig(replaced(plain, str(cfg.paths.run_dir), str(elsewhere)))
    check_places(moved.callbacks, elsewhere)
    moved.logger = {}
    moved.trainer.enable_progress_bar, moved.trainer.profiler = False, None
    return moved


def writing_to(elsewhere: Path, nodes: dict[str, Any]) -> dict[str, Any]:
    """The callbacks, with `elsewhere` as their `dirpath` if they have one."""
    return {
        name: {**node, "dirpath": str(elsewhere)} if "dirpath" in node else node
        for name, node in nodes.items()
        if node
    }


def check_places(callbacks: DictConfig, elsewhere: Path) -> None:
    """Raise UserError if a callback names any other path: the run may be somebody else's."""
    for key, value in leaves(callbacks):
        place = Path(str(value))
        outside = place.is_absolute() and not place.is_relative_to(elsewhere)
        if outside or ".." in place.parts or str(value).startswith("~"):
            raise UserError(
                f"callbacks.{key}={value} may be written to, so this run is not audited"
            )


def replaced(node: Any, before: str, after: str) -> Any:
    """A copy in which the folder `before` is replaced by `after` in each string."""
    if isinstance(node, dict):
        return {key: replaced(value, before, after) for key, value in node.items()}
    if isinstance(node, list):
        return [replaced(value, before, after) for value in node]
    return node.replace(before, after) if isinstance(node, str) else node
