"""A loss that turns into no number, in whole runs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from faults.conftest import Injected
from helpers.small_runs import Watch, checkpoint, console, small, train_with, write_lab
from mixlab.callbacks import Diverged
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json

MYLAB = '''
import math
import pytorch_lightning as pl

class Poison(pl.Callback):
    """One rank's images are no numbers at one batch."""

    def __init__(self, rank=0, seed=0):
        self.rank, self.seed = rank, seed

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if batch.address[:3] == (self.seed, self.rank, 1) and batch_idx == 2:
            batch.images.fill_(math.nan)
'''
POISON = "defaults: [default]\npoison:\n  _target_: mylab.Poison\n  rank: 0\n  seed: 0\n"
LAB = (
    "--config-dir=conf", "callbacks=poison", "allow=[mylab]", "threads=1", "data.image_size=16",
    "trainer.max_epochs=2", "trainer.limit_train_batches=4", "logger=csv",
)  # fmt: skip


@dataclass
class PoisonAt(pl.Callback):
    """Let one batch's images be infinite or no numbers."""

    epoch: int
    batch: int
    value: float
    times: int = 0

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            batch.images.fill_(self.value)
            self.times += 1


def is_sound(cfg: DictConfig) -> bool:
    """Whether the last checkpoint's weights and the optimizer's moments are finite."""
    kept = checkpoint(cfg)
    moments = [x for state in kept["optimizer_states"] for s in state["state"].values()
               for x in s.values() if torch.is_tensor(x)]  # fmt: skip
    return all(x.isfinite().all() for x in [*kept["state_dict"].values(), *moments])


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_stops_before_the_update(
    tmp_path: Path, value: float, accumulate: int, injected: Injected
) -> None:
    cfg = small(tmp_path, f"trainer.accumulate_grad_batches={accumulate}")
    poison = PoisonAt(1, 2, value)
    with pytest.raises(Diverged) as error:
        train_with(cfg, poison)
    record = read_json(run_folder(cfg) / "run.json")
    assert record["status"] == "diverged" and error.value.exit_status == 3
    assert f"the loss became nan in epoch 2 at step {6 // accumulate}" == record["error"]
    assert record["epochs"] == 1 and record["results"]["last"]["epoch"] == 0
    assert is_sound(cfg) and checkpoint(cfg)["global_step"] == 4 // accumulate
    watch = Watch()
    with pytest.raises(Diverged, match="diverged already: the loss became nan in epoch 2"):
        train_with(cfg, watch)
    assert watch.steps == [] and read_json(run_folder(cfg) / "run.json") == record
    injected("loss turned NaN or infinite", poison.times, "stops before the update; `diverged`")


@pytest.fixture
def lab(here: Path) -> Path:
    return write_lab(here, MYLAB, POISON, "poison")


def test_all_ranks_stop_together(lab: Path, injected: Injected) -> None:
    two = ("trainer=ddp_sim", "callbacks.poison.rank=1")
    done = console("train", *LAB, *two)
    assert done.returncode == 3, done.stderr
    assert "the loss became nan in epoch 2 at step 6" in done.stderr
    (folder,) = (path.parent for path in lab.rglob("run.json"))
    assert read_json(folder / "run.json")["status"] == "diverged"
    assert is_sound(OmegaConf.load(folder / "config.yaml"))  # pyright: ignore
    injected("loss turned NaN on one of two ranks", 1, "both stop before the update; `diverged`")


def test_a_sweep_goes_on_and_its_comparison_counts_it(
    lab: Path, command: Callable, injected: Injected
) -> None:
    words = (*LAB, "trainer=cpu", "mixing=none,mixup", "seeds=2", "callbacks.poison.seed=1")
    done = console("train", "-m", *words)
    assert done.returncode == 1 and "2 of 4 runs finished" in done.stdout, done.stdout
    assert done.stdout.count("diverged: the loss became nan in epoch 2 at step 6") == 2
    before = {path: path.stat().st_mtime_ns for path in lab.rglob("run.json")}
    assert console("train", "-m", *words).returncode == 1
    assert {path: path.stat().st_mtime_ns for path in lab.rglob("run.json")} == before
    said = command("compare", "logs/sweeps/train")
    assert "2 diverged" in said.out and "1 of 2 runs diverged (seed 1)" in said.out, said.out
    injected("loss turned NaN in jobs of a sweep", 2, "the others finish; counted where compared")
