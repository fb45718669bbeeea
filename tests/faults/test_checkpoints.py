"""Checkpoints that were cut, emptied or changed on the disk, and what a run then does."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from faults.conftest import Injected
from helpers.corrupt import DAMAGES
from helpers.killed import train_in_child
from helpers.small_runs import SignalAt, Watch, small, train_with
from mixlab.callbacks import Interrupted
from mixlab.errors import exit_status
from mixlab.evaluation.checkpoints import Options, evaluated
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json
from mixlab.runs.checkpoints import Broken
from test_resume import ALL_THAT_DRAWS, unequal


@pytest.fixture
def stopped(tmp_path: Path) -> DictConfig:
    """A run that was stopped in its second epoch, and has two checkpoints."""
    cfg = small(tmp_path / "stopped", *ALL_THAT_DRAWS)
    with pytest.raises(Interrupted):
        train_with(cfg, SignalAt(1, 1))
    assert {"last.ckpt", "previous.ckpt"} <= {path.name for path in checkpoints(cfg).iterdir()}
    return cfg


def checkpoints(cfg: DictConfig) -> Path:
    return run_folder(cfg) / "checkpoints"


@pytest.mark.parametrize("how", DAMAGES)
def test_the_newest(
    tmp_path: Path, stopped: DictConfig, how: str, capfd: Any, injected: Injected
) -> None:
    once = small(tmp_path / "once", *ALL_THAT_DRAWS)
    assert train_in_child(once) == 0
    DAMAGES[how](checkpoints(stopped) / "last.ckpt")
    capfd.readouterr()
    watch = Watch()
    train_with(stopped, watch)
    (line,) = (line for line in capfd.readouterr().out.splitlines() if "broken" in line)
    assert "last.ckpt is broken: " in line and line.endswith("resumes from previous.ckpt")
    resumed_from = read_json(run_folder(stopped) / "run.json")["resumed_from"]
    assert resumed_from.startswith("previous.ckpt; ") and "last.ckpt is broken" in resumed_from
    assert [step.address[2] for step in watch.steps] == [1] * 4, "the second epoch, from its start"
    assert unequal(once, stopped) == []
    injected(
        f"newest checkpoint {how}", 1, "the one before is taken, said so; same bits at the end"
    )


@pytest.mark.parametrize("how", DAMAGES)
def test_all_of_them(stopped: DictConfig, how: str, injected: Injected) -> None:
    for name in ("last.ckpt", "previous.ckpt"):
        DAMAGES[how](checkpoints(stopped) / name)
    rows = (run_folder(stopped) / "metrics.csv").read_text()
    watch = Watch()
    with pytest.raises(ValueError, match="no checkpoint to resume from: .*existing=new") as error:
        train_with(stopped, watch)
    assert exit_status(error.value) == 2
    assert read_json(run_folder(stopped) / "run.json")["status"] == "failed"
    assert watch.steps == [] and (run_folder(stopped) / "metrics.csv").read_text() == rows
    injected(
        f"every checkpoint {how}", 1, "one sentence with the remedy, exit 2; nothing restarted"
    )


@pytest.mark.parametrize("how", DAMAGES)
def test_the_best(stopped: DictConfig, how: str, injected: Injected) -> None:
    train_with(stopped)
    best = checkpoints(stopped) / "best.ckpt"
    DAMAGES[how](best)
    with pytest.raises(Broken, match="best.ckpt is broken: .*existing=new"):
        evaluated(stopped, {"best": best}, Options())
    injected(f"best checkpoint {how}", 1, "the test stops with a sentence that names the file")
