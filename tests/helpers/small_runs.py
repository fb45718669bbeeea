"""Small trainings: composed once, trained for a second in a folder of the test's, and watched."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from helpers import warm
from mixlab.config.checks import prepare
from mixlab.config.keys import config_dir
from mixlab.runs import run_folder
from mixlab.runtime import quiet
from mixlab.training import build
from mixlab.training.supervise import train

SMALL = (
    "trainer=cpu",
    "threads=1",
    "data.image_size=16",
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=4",
    "callbacks.last.every_seconds=0",
)  # 8 steps of the smallest network on scikit-learn's digits, each epoch's end kept


@cache
def composed(*overrides: str, config: str = "train") -> DictConfig:
    """A configuration as a command gets it, checked."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose(config, overrides=list(overrides), return_hydra_config=True)
        OmegaConf.set_struct(cfg, False)
        return prepare(cfg, cfg.pop("hydra"))


def small(folder: Path, *overrides: str, seed: int = 0, logger: str = "csv") -> DictConfig:
    """A configuration of a small run whose `logs/` lies in `folder`."""
    cfg = composed(*SMALL, f"logger={logger}", *overrides).copy()
    cfg.seed = seed
    cfg.paths.root_dir = str(folder)
    cfg.paths.log_dir = str(folder / "logs")
    return cfg


def train_with(cfg: DictConfig, *callbacks: pl.Callback) -> dict[str, Any]:
    """Train with callbacks that the configuration, and so the run's identity, knows nothing of."""
    configured = build.build_callbacks
    with patch.object(build, "build_callbacks", lambda *a: [*configured(*a), *callbacks]):
        return train(cfg)


def checkpoint(cfg: DictConfig, name: str = "last") -> dict[str, Any]:
    """A checkpoint of a run, read as a stranger's would be."""
    path = run_folder(cfg) / "checkpoints" / f"{name}.ckpt"
    return torch.load(path, map_location="cpu", weights_only=True)


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two nested structures of tensors and plain values are not equal bit for bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from differences(one.get(key), other.get(key), f"{path}.{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            yield f"{path}: {len(one)} and {len(other)} entries"
        for number, pair in enumerate(zip(one, other, strict=False)):
            yield from differences(*pair, f"{path}[{number}]")
    elif isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.dtype != other.dtype or not torch.equal(one, other):
            yield path
    elif one != other and not (one != one and other != other):
        yield f"{path}: {one!r} and {other!r}"


@dataclass
class Step:
    """What one training step was given."""

    images: Tensor
    targets: Tensor
    index: Tensor
    address: tuple[int, ...]


@dataclass
class Watch(pl.Callback):
    """Remember the initial weights, every training batch, and every batch of the other stages."""

    weights: dict[str, Tensor] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    evaluated: list[Any] = field(default_factory=list)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.weights = {name: x.clone() for name, x in pl_module.state_dict().items()}

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        images, targets = (x.detach().clone() for x in batch)
        self.steps.append(Step(images, targets, batch.index, batch.address))

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *_: Any) -> None:
        self.evaluated.append(batch)

    on_test_batch_start = on_validation_batch_start


@dataclass
class SignalAt(pl.Callback):
    """Send this process a signal while it trains on a batch."""

    epoch: int
    batch: int
    signum: int = signal.SIGTERM

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            os.kill(os.getpid(), self.signum)


@dataclass
class FailAt(pl.Callback):
    """Raise at the start of an epoch, as a defect would."""

    epoch: int

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise ZeroDivisionError("a defect")


class Plain(pl.LightningModule):
    """A module as anybody writes it: `x, y = batch`, and nothing of mixlab."""

    def __init__(self, num_pixels: int = 256, num_classes: int = 10) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(num_pixels, num_classes))
        self.given: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch.values() if isinstance(batch, dict) else batch
        self.given.append((x.clone(), y.clone()))
        return nn.functional.cross_entropy(self(x).float(), y)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("val/loss", nn.functional.cross_entropy(self(x).float(), y))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, *callbacks: pl.Callback, **kwargs: Any) -> pl.Trainer:
    """Lightning's own Trainer, silent, for two epochs on the CPU."""
    quiet()
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    options = {"accelerator": "cpu", "devices": 1, "max_epochs": 2, **dict.fromkeys(off, False)}
    return pl.Trainer(callbacks=list(callbacks), default_root_dir=folder, **{**options, **kwargs})


def loader_of_lists(rows: int = 32, batch_size: int = 8) -> DataLoader:
    """Anybody's loader: batches are lists of float images and class numbers."""
    images = torch.rand(rows, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(images, torch.arange(rows) % 10), batch_size=batch_size)


def write_lab(folder: Path, module: str, callbacks: str, name: str) -> Path:
    """A user's folder: `mylab.py`, and `conf/callbacks/<name>.yaml` for --config-dir=conf."""
    (folder / "mylab.py").write_text(module)
    (folder / "conf" / "callbacks").mkdir(parents=True)
    (folder / "conf" / "callbacks" / f"{name}.yaml").write_text(callbacks)
    return folder


def write_npz(path: Path, rows: int = 40, classes: int = 4, **arrays: Any) -> Path:
    """A file in the MedMNIST layout, random, with `arrays` in place of its own."""
    rng = np.random.default_rng(0)
    whole = {}
    for split in ("train", "val", "test"):
        whole[f"{split}_images"] = rng.integers(0, 256, (rows, 16, 16), np.uint8)
        whole[f"{split}_labels"] = np.arange(rows) % classes
    np.savez(path, **{**whole, **arrays})
    return path


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """With `folder` as the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def console(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a console command in a process of its own, in the working directory."""
    return warm.run([str(Path(sys.executable).with_name(f"mixlab-{program}")), *arguments])
