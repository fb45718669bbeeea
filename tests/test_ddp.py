"""Two processes train one run: different draws on each, every row once an epoch, exact figures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from helpers.small_runs import checkpoint, console, differences, inside, small
from mixlab.data.sampler import TrainBatchSampler
from mixlab.evaluation.checkpoints import Options, evaluated
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json
from mixlab.training.build import build_data

MYLAB = '''
import json, os, signal
from pathlib import Path
import pytorch_lightning as pl, torch

class Watch(pl.Callback):
    """Writes down what each rank is given; in the middle of epoch 1 asks for a stop, if wanted."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        line = {
            "address": batch.address,
            "rows": batch.index.tolist(),
            "largest": batch.targets.max(1).values.tolist(),
            "dropout": torch.default_generator.initial_seed(),
        }
        with open(Path(trainer.default_root_dir) / f"rank-{trainer.global_rank}", "a") as file:
            print(json.dumps(line), file=file)
        if trainer.global_rank == 1 and batch.address[2:] == (1, 5) and Path("stop").exists():
            os.kill(os.getpid(), signal.SIGTERM)
'''
WATCH = "defaults: [default]\nwatch:\n  _target_: mylab.Watch\n"
TWO = (
    "--config-dir=conf", "callbacks=watch", "allow=[mylab]", "trainer=ddp_sim", "threads=1",
    "trainer.max_epochs=2", "trainer.limit_train_batches=1.0", "data.image_size=16", "logger=csv",
    "data.eval_batch_size=50",
)  # fmt: skip
pytestmark = pytest.mark.timeout(400)


def make_lab(folder: Path) -> Path:
    """A user's folder with a callback that watches, in every process."""
    (folder / "mylab.py").write_text(MYLAB)
    (folder / "conf" / "callbacks").mkdir(parents=True)
    (folder / "conf" / "callbacks" / "watch.yaml").write_text(WATCH)
    return folder


@pytest.fixture
def lab(here: Path) -> Path:
    return make_lab(here)


def configs(lab: Path) -> list[DictConfig]:
    """Configurations of the runs that were made."""
    return [OmegaConf.load(path) for path in sorted(lab.rglob("config.yaml"))]  # pyright: ignore


def steps(cfg: DictConfig, rank: int) -> list[dict[str, Any]]:
    lines = (run_folder(cfg) / f"rank-{rank}").read_text().splitlines()
    return [json.loads(line) for line in lines]


def epochs(cfg: DictConfig) -> Iterator[tuple[int, list[tuple[dict, dict]]]]:
    """The steps of both ranks beside each other, epoch by epoch."""
    both = list(zip(steps(cfg, 0), steps(cfg, 1), strict=True))
    for epoch in (0, 1):
        yield epoch, [pair for pair in both if pair[0]["address"][2] == epoch]


def check_run(cfg: DictConfig) -> None:
    """Ranks draw different numbers, and together see what one process would have seen."""
    one_process = build_data(cfg).train_dataloader()
    plan: TrainBatchSampler = one_process.plan
    for epoch, pairs in epochs(cfg):
        assert len(pairs) == len(plan)
        for number, (zero, one) in enumerate(pairs):
            assert zero["address"] == [cfg.seed, 0, epoch, number]
            assert one["address"] == [cfg.seed, 1, epoch, number]
            assert set(zero["rows"]).isdisjoint(one["rows"])
            assert zero["largest"] != one["largest"] and zero["dropout"] != one["dropout"]
        dealt = [sorted(zero["rows"] + one["rows"]) for zero, one in pairs]
        assert dealt == [sorted(rows.tolist()) for _, rows in plan.batches(epoch)]
        assert len(set(sum(dealt, []))) == len(plan.rows), "every row once"


def test_two_processes(lab: Path) -> None:
    done = console("train", *TWO, "seed=4")
    assert done.returncode == 0, done.stderr
    (cfg,) = configs(lab)
    check_run(cfg)
    record = read_json(run_folder(cfg) / "run.json")
    assert (record["devices"], record["threads"], record["seed"]) == (2, 1, 4)
    rows = record["data"]["test_rows"]
    assert rows % 2 == 1 and rows > 2 * cfg.data.eval_batch_size, "some batches, the last uneven"
    paths = {"last": run_folder(cfg) / "checkpoints" / "last.ckpt"}
    last = evaluated(cfg, paths, Options()).figures["last"]
    assert record["results"]["last"]["test/accuracy"] == last["test/accuracy"]
    assert record["class_accuracy"]["last"] == [*last["test/class_accuracy"].values()]
    assert record["results"]["last"]["test/loss"] == pytest.approx(last["test/loss"], rel=1e-6)


@pytest.mark.slow
def test_a_sweep_of_jobs_with_two_processes(lab: Path) -> None:
    """One folder and one run of W&B's for each job, one more of the sweep, and none within it."""
    done = console("train", "-m", *TWO, "logger=default", "seeds=2", "hydra.launcher.jobs=2")
    assert done.returncode == 0, done.stdout
    runs = configs(lab)
    assert [cfg.seed for cfg in runs] == [0, 1]
    for cfg in runs:
        check_run(cfg)
        assert len(list(run_folder(cfg).rglob("*.wandb"))) == 1
    for name, count in (("run.json", 2), ("sweep.json", 1), ("*.wandb", 3), ("metrics.csv", 2)):
        assert len(list(lab.rglob(name))) == count, name


@pytest.fixture(scope="module")
def stopped_and_whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[DictConfig, DictConfig]:
    """A run of which one rank was asked to stop, which went on later; and one never stopped."""
    lab = make_lab(tmp_path_factory.mktemp("lab"))
    with inside(lab):
        (lab / "stop").touch()
        done = console("train", *TWO)
        assert done.returncode == 143 and "stopped by SIGTERM; the same command" in done.stderr
        (stopped,) = configs(lab)
        assert read_json(run_folder(stopped) / "run.json")["status"] == "interrupted"
        (lab / "stop").unlink()
        for more in ([], ["paths.log_dir=whole"]):
            assert console("train", *TWO, *more).returncode == 0
        (whole,) = configs(lab / "whole")
    return stopped, whole


@pytest.mark.slow
def test_both_ranks_stop_and_go_on(stopped_and_whole: tuple[DictConfig, DictConfig]) -> None:
    stopped, whole = (checkpoint(cfg) for cfg in stopped_and_whole)
    for part in ("state_dict", "optimizer_states", "loops", "global_step"):
        assert not list(differences(stopped[part], whole[part]))
    check_run(stopped_and_whole[0])


@pytest.mark.slow
def test_and_log_the_same(stopped_and_whole: tuple[DictConfig, DictConfig]) -> None:
    one, other = ((run_folder(cfg) / "metrics.csv").read_text() for cfg in stopped_and_whole)
    assert one == other


def test_the_sum_of_gradients_is_that_of_one_process(tmp_path: Path) -> None:
    """The batch size counts the rows of all processes, so dealing them out changes no size."""
    cfg = small(tmp_path)
    plans = [
        TrainBatchSampler(np.arange(150), cfg.data.batch_size, rank=rank, world_size=2)
        for rank in (0, 1)
    ]
    sizes = [[len(rows) for _, rows in plan.batches(0)] for plan in plans]
    assert sizes == [[32, 32, 11], [32, 32, 11]]
