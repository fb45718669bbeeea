"""Training that was cut off and goes on equals training that never stopped, bit for bit."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from mixlab.callbacks import Interrupted, Seeding
from mixlab.data.loader import TrainLoader
from mixlab.runs import run_folder
from mixlab.runs.files import read_json
from small import FailAt, SignalAt, checkpoint, differences, small, train_with

# CutMix on some rows, the network's dropout, cropping, a learning rate that changes, momentum.
ALL_THAT_DRAWS = (
    "mixing=cutmix", "mixing.probability=0.7", "mixing.schedule=cosine", "augmentation=standard",
    "scheduler=cosine", "optimizer=adamw",
)  # fmt: skip
BOTH = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "global_step", "epoch", "tally")


@pytest.fixture
def whole(tmp_path: Path) -> DictConfig:
    """A run that was never stopped."""
    cfg = small(tmp_path / "whole", *ALL_THAT_DRAWS)
    train_with(cfg)
    return cfg


def cut(whole: DictConfig) -> DictConfig:
    """The same run, to be made anew in another folder."""
    root = Path(whole.paths.root_dir).with_name("cut")
    return small(root, *ALL_THAT_DRAWS).copy()


def unequal(one: DictConfig, other: DictConfig) -> list[str]:
    """Where two runs differ: weights, optimizer, counters, metrics.csv, results."""
    pairs = (checkpoint(one), checkpoint(other))
    found = list(differences(*({key: kept[key] for key in BOTH} for kept in pairs)))
    if metrics(one) != metrics(other):
        found.append("metrics.csv")
    return [*found, *differences(results(one), results(other))]


def metrics(cfg: DictConfig) -> str:
    return (run_folder(cfg) / "metrics.csv").read_text()


def results(cfg: DictConfig) -> dict[str, Any]:
    found = read_json(run_folder(cfg) / "run.json")["results"]
    return {when: {k: v for k, v in row.items() if k != "seconds"} for when, row in found.items()}


def status(cfg: DictConfig) -> str:
    return read_json(run_folder(cfg) / "run.json")["status"]


def stop(cfg: DictConfig, epoch: int, batch: int) -> None:
    with pytest.raises(Interrupted):
        train_with(cfg, SignalAt(epoch, batch))
    assert status(cfg) == "interrupted"


def test_after_a_defect_at_an_epochs_end(whole: DictConfig) -> None:
    again = cut(whole)
    with pytest.raises(ZeroDivisionError):
        train_with(again, FailAt(epoch=1))
    assert status(again) == "failed"
    train_with(again)
    assert unequal(whole, again) == []


@pytest.mark.parametrize("stops", [[(0, 2)], [(1, 0), (1, 1)]], ids=["once", "twice"])
def test_after_sigterm_in_the_middle_of_an_epoch(whole: DictConfig, stops: list) -> None:
    again = cut(whole)
    for epoch, batch in stops:
        stop(again, epoch, batch)
    train_with(again)
    assert unequal(whole, again) == []


def test_a_signal_at_an_epochs_last_batch_waits_for_the_next_epoch(whole: DictConfig) -> None:
    again = cut(whole)
    stop(again, 0, 3)
    assert checkpoint(again)["global_step"] == 5
    train_with(again)
    assert unequal(whole, again) == []


def test_a_signal_within_accumulated_gradients_waits_for_the_step(tmp_path: Path) -> None:
    once, often = (
        small(tmp_path / name, *ALL_THAT_DRAWS, "trainer.accumulate_grad_batches=2")
        for name in ("once", "often")
    )
    train_with(once)
    stop(often, 0, 0)
    assert checkpoint(often)["global_step"] == 1
    stop(often, 1, 1)
    train_with(often)
    assert unequal(once, often) == []


def test_a_process_killed_while_it_tests_loses_nothing(
    whole: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = cut(whole)
    with monkeypatch.context() as patch:
        patch.setattr("mixlab.training.test", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_with(again)
    train_with(again)
    assert unequal(whole, again) == []


def test_a_folder_that_was_moved_meanwhile(whole: DictConfig, tmp_path: Path) -> None:
    again = cut(whole)
    stop(again, 1, 1)
    shutil.move(again.paths.log_dir, tmp_path / "moved")
    again.paths.log_dir = str(tmp_path / "moved")
    train_with(again)
    assert unequal(whole, again) == []


def test_a_run_can_start_where_another_has_ended(whole: DictConfig, tmp_path: Path) -> None:
    last = run_folder(whole) / "checkpoints" / "last.ckpt"
    longer = small(tmp_path, *ALL_THAT_DRAWS, "trainer.max_epochs=3", f"ckpt_path={last}")
    found = train_with(longer)
    assert found["last"]["epoch"] == 2 and checkpoint(longer)["global_step"] == 12
    assert found["best"]["epoch"] == 2, "its own best"
    assert {path.name for path in run_folder(longer).glob("*/*.ckpt")} == {"best.ckpt", "last.ckpt"}


def no_seeding(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Seeding, "on_train_batch_start", lambda *_: None)


def epochs_counted_by_the_process(patch: pytest.MonkeyPatch) -> None:
    def number_from_zero(loader: TrainLoader, epoch: int) -> None:
        loader.epoch = getattr(loader, "calls", 0)
        loader.calls = loader.epoch + 1

    patch.setattr(TrainLoader, "set_epoch", number_from_zero)


@pytest.mark.parametrize("breakage", [no_seeding, epochs_counted_by_the_process])
def test_equality_is_no_accident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breakage: Any
) -> None:
    """With draws that have a past the very same comparison fails."""
    breakage(monkeypatch)
    once, again = (small(tmp_path / name, *ALL_THAT_DRAWS) for name in ("once", "again"))
    train_with(once)
    with pytest.raises(ZeroDivisionError):
        train_with(again, FailAt(epoch=1))
    train_with(again)
    assert ".state_dict.network.0.weight" in unequal(once, again)


def test_signals_are_handled_as_before_when_training_is_over(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    stop(small(tmp_path), 0, 1)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_the_time_of_an_epoch_that_was_cut_counts_both_parts(whole: DictConfig) -> None:
    again = cut(whole)
    stop(again, 0, 2)
    train_with(again)
    seconds = [row["seconds"] for row in checkpoint(again)["callbacks"]["RunRecord"]["epochs"]]
    assert all(0 < value < 20 for value in seconds)
