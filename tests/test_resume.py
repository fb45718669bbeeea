"""Training that was cut off and goes on equals training that never stopped, bit for bit."""

import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import EarlyStopping

from helpers.image_folders import write_folder
from helpers.killed import train_in_child
from helpers.small_runs import FailAt, SignalAt, checkpoint, differences, small, train_with
from mixlab.callbacks import Interrupted, Seeding
from mixlab.data import map_style
from mixlab.data.augmentation import library
from mixlab.data.loader import TrainLoader
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json

# CutMix on some rows, the network's dropout, cropping, a learning rate that changes, momentum.
ALL_THAT_DRAWS = (
    "mixing=cutmix", "mixing.probability=0.7", "mixing.schedule=cosine", "augmentation=standard",
    "scheduler=cosine", "optimizer=adamw",
)  # fmt: skip
BOTH = (
    "state_dict", "optimizer_states", "lr_schedulers", "loops", "global_step", "epoch", "tally",
    "current_model_state", "averaging_state",
)  # fmt: skip
EMA = ("callbacks=ema", "callbacks.ema.decay=0.8")


@pytest.fixture
def whole(tmp_path: Path) -> DictConfig:
    """A run that was never stopped."""
    cfg = small(tmp_path / "whole", *ALL_THAT_DRAWS)
    train_with(cfg)
    return cfg


def twins(folder: Path, *overrides: str) -> tuple[DictConfig, DictConfig]:
    """One configuration in two places; the first is trained, in a process of its own."""
    once, again = (small(folder / name, *ALL_THAT_DRAWS, *overrides) for name in ("once", "again"))
    assert train_in_child(once) == 0
    return once, again


def cut(whole: DictConfig) -> DictConfig:
    """The same run, to be made anew in another folder."""
    root = Path(whole.paths.root_dir).with_name("cut")
    return small(root, *ALL_THAT_DRAWS).copy()


def unequal(one: DictConfig, other: DictConfig) -> list[str]:
    """Where two runs differ: weights, optimizer, counters, metrics.csv, results."""
    pairs = (checkpoint(one), checkpoint(other))
    found = list(differences(*({key: kept.get(key) for key in BOTH} for kept in pairs)))
    if metrics(one) != metrics(other):
        found.append("metrics.csv")
    return [*found, *differences(results(one), results(other))]


def metrics(cfg: DictConfig) -> str:
    return (run_folder(cfg) / "metrics.csv").read_text()


def results(cfg: DictConfig) -> dict[str, Any]:
    found = read_json(run_folder(cfg) / "run.json")["results"]
    return {
        when: {k: v for k, v in (row or {}).items() if k != "seconds"}
        for when, row in found.items()
    }


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
    killed_while_it_tests(again, monkeypatch)
    train_with(again)
    assert unequal(whole, again) == []


def killed_while_it_tests(
    cfg: DictConfig, monkeypatch: pytest.MonkeyPatch, *callbacks: pl.Callback
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("mixlab.training.fit.test", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_with(cfg, *callbacks)


def test_a_last_checkpoint_that_breaks_while_it_tests(
    whole: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = cut(whole)
    killed_while_it_tests(again, monkeypatch)
    (run_folder(again) / "checkpoints" / "last.ckpt").write_bytes(b"")
    train_with(again)
    assert unequal(whole, again) == []


def test_averaged_weights_are_tested_by_who_comes_after_a_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, again = (small(tmp_path / name, *EMA) for name in ("once", "again"))
    train_with(once)
    killed_while_it_tests(again, monkeypatch)
    train_with(again)
    assert unequal(once, again) == []
    raw = checkpoint(once)["current_model_state"]
    assert list(differences(raw, checkpoint(once)["state_dict"])), "there is a difference to miss"


def test_a_training_that_stopped_early_does_not_go_on_to_be_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, again = (small(tmp_path / name, "trainer.max_epochs=4") for name in ("once", "again"))

    def early() -> pl.Callback:
        return EarlyStopping("train/loss", mode="max", patience=0)

    train_with(once, early())
    assert len(checkpoint(once)["callbacks"]["RunRecord"]["epochs"]) == 2, "it stopped early"
    killed_while_it_tests(again, monkeypatch, early())
    train_with(again, early())
    assert unequal(once, again) == []


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_a_stop_where_validation_is_due_leaves_none_out(tmp_path: Path, batch: int) -> None:
    words = ("trainer.kwargs={val_check_interval: 2}",)
    once, again = (small(tmp_path / name, *ALL_THAT_DRAWS, *words) for name in ("once", "again"))
    train_with(once)
    stop(again, 0, batch)
    train_with(again)
    assert unequal(once, again) == []


@pytest.mark.parametrize("step", [5, 6])
def test_a_stop_at_the_last_step_of_all(tmp_path: Path, step: int) -> None:
    words = ("trainer.max_epochs=3", "trainer.max_steps=7", "data.val_size=0")
    once, again = (small(tmp_path / name, *ALL_THAT_DRAWS, *words) for name in ("once", "again"))
    train_with(once)
    if step < 6:
        stop(again, 1, step - 4)
    else:
        train_with(again, SignalAt(1, step - 4))  # too late to stop: the training is over
    train_with(again)
    assert unequal(once, again) == []


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


# The 19 writes of such a run, from config.yaml to the last run.json; between them everything is.
@pytest.mark.parametrize("write", [6, pytest.param(range(19), marks=pytest.mark.slow)])
def test_after_a_death_before_any_write(tmp_path: Path, write: int | range) -> None:
    once, _ = twins(tmp_path)
    for number in [write] if isinstance(write, int) else write:
        again = small(tmp_path / str(number), *ALL_THAT_DRAWS)
        assert train_in_child(again, dies_at=number) == -signal.SIGKILL
        assert train_in_child(again) == 0
        assert unequal(once, again) == [], f"killed before write {number}"


@pytest.mark.slow
def test_a_chain_of_deaths_within_epochs(tmp_path: Path) -> None:
    """Killed in each batch but the first of an epoch, with a checkpoint after every step."""
    once, again = twins(tmp_path, "checkpoint_minutes=0", *EMA)
    for place in ((0, 1), (0, 2), (1, 1), (1, 3)):
        assert train_in_child(again, SignalAt(*place, signal.SIGKILL)) == -signal.SIGKILL
    assert train_in_child(again) == 0
    assert unequal(once, again) == [] and "averaging_state" in checkpoint(again)


def jpegs(folder: Path, workers: int) -> tuple[str, ...]:
    """Pictures that are changed one by one, by a library's transform, as they are read."""
    write_folder(folder / "jpegs", rows=60)
    return (
        "data=folder", f"data.path={folder / 'jpegs'}", "data.val_size=0.2", "data.test_size=0.1",
        "augmentation=randaugment", "augmentation.force=true", f"data.num_workers={workers}",
    )  # fmt: skip


SETTINGS = {
    "memory": (),
    "average of weights": EMA,
    "accumulated gradients": ("trainer.accumulate_grad_batches=2",),
    "no worker": 0,
    "two workers": 2,
    "saved at epochs' ends alone": ("checkpoint_minutes=null", "scheduler=timm"),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_chain_of_signals_and_deaths(tmp_path: Path, setting: str) -> None:
    shape = ("checkpoint_minutes=0", "data.batch_size=16", "trainer.limit_train_batches=8")
    found = SETTINGS[setting]
    more = jpegs(tmp_path, found) if isinstance(found, int) else found
    once, again = twins(tmp_path, *shape, *more)
    draw = random.Random(setting)
    signals = draw.sample(3 * [signal.SIGKILL, signal.SIGTERM], 6)
    for number, signum in enumerate(signals):
        ended = train_in_child(again, SignalAt(number // 3, 2 * (number % 3), signum))
        assert ended == (-9 if signum == signal.SIGKILL else 1)
    assert train_in_child(again, dies_at=draw.randrange(3, 8)) == -9
    assert train_in_child(again) == 0
    assert unequal(once, again) == []


def no_seeding(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Seeding, "on_train_batch_start", lambda *_: None)


def epochs_counted_by_the_process(patch: pytest.MonkeyPatch) -> None:
    def number_from_zero(loader: TrainLoader, epoch: int) -> None:
        loader.epoch = getattr(loader, "calls", 0)
        loader.calls = loader.epoch + 1

    patch.setattr(TrainLoader, "set_epoch", number_from_zero)


def position_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TrainLoader, "load_state_dict", lambda *_: None)


@pytest.mark.slow
@pytest.mark.parametrize("breakage", [no_seeding, position_forgotten])
def test_nor_is_it_within_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breakage: Any
) -> None:
    breakage(monkeypatch)
    once, again = twins(tmp_path, *EMA)
    assert train_in_child(again, SignalAt(0, 1, signal.SIGTERM)) == 1
    assert train_in_child(again) == 0
    assert ".state_dict.network.0.weight" in unequal(once, again)


@pytest.mark.slow
def test_nor_in_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Library transforms that draw from generators with a past."""
    monkeypatch.setattr(map_style, "set_generators", lambda seed: None)
    monkeypatch.setattr(library, "set_generators", lambda seed: None)
    once, again = twins(tmp_path, *jpegs(tmp_path, 2), "data.batch_size=16")
    assert train_in_child(again, SignalAt(0, 0, signal.SIGTERM)) == 1
    assert train_in_child(again) == 0
    assert ".state_dict.network.0.weight" in unequal(once, again)


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
