"""A training through `train(cfg)`: what differs between arms, and what nothing may touch."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from helpers.small_runs import Watch, checkpoint, differences, small, train_with
from mixlab.callbacks import MixingCallback
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json
from mixlab.training.build import build_data
from mixlab.training.supervise import train

ARMS = ("none", "mixup", "cutmix", "one_of", "sequence", "cutout")


def watched(folder: Path, *overrides: str, seed: int = 0) -> Watch:
    watch = Watch()
    train_with(small(folder, *overrides, seed=seed), watch)
    return watch


@pytest.mark.parametrize(
    ("augmentation", "arms"), [("standard", ARMS[1:]), ("color_jitter", ["mixup"])]
)
def test_arms_share_weights_order_and_augmentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, augmentation: str, arms: list[str]
) -> None:
    unmixed: list[torch.Tensor] = []
    mix = MixingCallback.mix
    monkeypatch.setattr(
        MixingCallback, "mix", lambda self, batch: unmixed.append(batch.images) or mix(self, batch)
    )
    none = watched(tmp_path, "mixing=none", f"augmentation={augmentation}")
    for arm in arms:
        unmixed.clear()
        other = watched(tmp_path, f"mixing={arm}", f"augmentation={augmentation}")
        assert not list(differences(none.weights, other.weights))
        assert not list(differences([s.index for s in none.steps], [s.index for s in other.steps]))
        assert not list(differences([step.images for step in none.steps], unmixed))
        assert all(
            not torch.equal(one.images, two.images)
            for one, two in zip(none.steps, other.steps, strict=True)
        )


def test_seeds_differ_in_weights_order_and_mixing(tmp_path: Path) -> None:
    zero, one = (watched(tmp_path, seed=seed) for seed in (0, 1))
    kernels = {f".{name}" for name, x in zero.weights.items() if x.ndim > 1}
    assert set(differences(zero.weights, one.weights)) == kernels
    assert not torch.equal(zero.steps[0].index, one.steps[0].index)
    assert not torch.equal(zero.steps[0].targets, one.steps[0].targets)


def test_mixing_that_never_happens_is_no_mixing(tmp_path: Path) -> None:
    """One type, one shape, one graph: an arm at probability 0 trains the same weights as none."""
    none = small(tmp_path, "mixing=none")
    never = small(tmp_path, "mixing=cutmix", "mixing.probability=0")
    train(none)
    train(never)
    assert run_folder(none) != run_folder(never)
    assert not list(differences(checkpoint(none)["state_dict"], checkpoint(never)["state_dict"]))


def test_targets_are_dense_in_training_and_classes_elsewhere(tmp_path: Path) -> None:
    for arm in ("none", "mixup"):
        watch = watched(tmp_path, f"mixing={arm}")
        for step in watch.steps:
            assert step.targets.shape == (64, 10) and step.targets.dtype == torch.float32
            assert torch.allclose(step.targets.sum(1), torch.ones(64))
        for batch in watch.evaluated:
            assert batch.targets.ndim == 1 and batch.targets.dtype == torch.int64


def test_validation_and_test_batches_are_never_touched(tmp_path: Path) -> None:
    cfg = small(tmp_path, "mixing=sequence", "augmentation=standard")
    watch = Watch()
    train_with(cfg, watch)
    data = build_data(cfg)
    val, test = list(data.val_dataloader()), list(data.test_dataloader())
    expected = [*val, *val, *test, *test]  # two epochs; the last weights and the chosen ones
    for batch, raw in zip(watch.evaluated, expected, strict=True):
        assert batch.address is None
        assert torch.equal(batch.images, raw.images.float() / 255)
        assert torch.equal(batch.targets, raw.targets)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("bf16-true", torch.bfloat16),
        ("bf16-mixed", torch.float32),
        ("16-true", torch.float16),
        ("64-true", torch.float64),
    ],
)
def test_precision(tmp_path: Path, precision: str, dtype: torch.dtype) -> None:
    watch = Watch()
    eps = "optimizer.eps=1e-4"  # 16 bits know no 1e-8
    cfg = small(tmp_path, "mixing=sequence", f"trainer.precision={precision}", eps)
    found = train_with(cfg, watch)
    assert {step.images.dtype for step in watch.steps} == {dtype}
    assert {step.targets.dtype for step in watch.steps} <= {torch.float32, torch.float64}
    assert watch.steps[0].targets.sum(1).sub(1).abs().max() < 1e-6
    assert found["last"]["train/loss"] < 2.5
    assert {x.dtype for x in checkpoint(cfg)["state_dict"].values()} == {dtype}


def test_accumulated_gradients_draw_anew_for_each_batch(tmp_path: Path) -> None:
    cfg = small(tmp_path, "mixing=mixup", "trainer.accumulate_grad_batches=4")
    watch = Watch()
    train_with(cfg, watch)
    assert checkpoint(cfg)["global_step"] == 2
    assert len({tuple(step.targets.max(1).values.tolist()) for step in watch.steps}) == 8


def test_the_last_smaller_batch_is_kept(tmp_path: Path) -> None:
    watch = watched(tmp_path, "trainer.limit_train_batches=1.0", "trainer.max_epochs=1")
    rows = torch.cat([step.index for step in watch.steps])
    assert len(watch.steps[-1].index) < 64
    assert len(rows.unique()) == len(rows) == 1150


def test_results_come_from_validation_and_test(tmp_path: Path) -> None:
    cfg = small(tmp_path, "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2")
    found = train(cfg)
    assert found["best"]["epoch"] == 1 and found["last"]["epoch"] == 2
    assert {"val/accuracy", "test/accuracy", "test/loss"} <= set(found["best"])
    assert "val/accuracy" not in found["last"], "the last epoch was not validated"
    record = read_json(run_folder(cfg) / "run.json")
    assert record["results"] == found and record["status"] == "finished" and record["epochs"] == 3
    assert record["monitor"] == {"metric": "val/accuracy", "mode": "max"}


def test_without_validation_the_last_stands_alone(tmp_path: Path) -> None:
    cfg = small(tmp_path, "data.val_size=0")
    found = train(cfg)
    assert found["best"] is None and "test/accuracy" in found["last"]
    assert not (run_folder(cfg) / "checkpoints" / "best.ckpt").exists()
    assert (run_folder(cfg) / "checkpoints" / "last.ckpt").exists()


def test_test_false_leaves_the_test_set_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    found = train(small(tmp_path, "test=false"))
    assert not any(name.startswith("test/") for row in found.values() for name in row)
    assert capsys.readouterr().out.endswith(" part=val\n"), "evaluates what there are figures of"


def test_reads_neither_arguments_nor_working_directory(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["somebody-else", "--seed", "7"])
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    cfg = small(here)
    train(cfg)
    assert list(elsewhere.iterdir()) == []
    assert (run_folder(cfg) / "run.json").exists()


def test_a_finished_run_is_not_trained_again(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    cfg = small(tmp_path)
    first = train(cfg)
    before = (run_folder(cfg) / "run.json").stat().st_mtime_ns
    watch = Watch()
    assert train_with(cfg, watch) == first
    assert watch.steps == [] and (run_folder(cfg) / "run.json").stat().st_mtime_ns == before
    assert "finished already" in capsys.readouterr().out


def test_the_run_folder_says_what_was_trained(tmp_path: Path) -> None:
    cfg = small(tmp_path, "mixing=cutmix", seed=3)
    train(cfg)
    folder = run_folder(cfg)
    kept = OmegaConf.load(folder / "config.yaml")
    assert kept.mixing.method.alpha == 1.0 and kept.seed == 3
    assert run_folder(kept) == folder, "its own configuration leads back to it"
    record = read_json(folder / "run.json")
    assert (record["arm"], record["seed"], record["threads"]) == ("digits-cnn-cutmix", 3, 1)
    assert (record["data"]["train_rows"], record["data"]["val_rows"]) == (1150, 288)
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    assert "mixlab/training/fit.py" in record["code"] and record["accelerator"] == "cpu"
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {
        f"{when}.{kind}" for when in ("best", "last") for kind in ("ckpt", "safetensors")
    }
    assert "=" not in "".join(map(str, folder.rglob("*")))


@pytest.mark.parametrize("debug", ["fdr", "overfit", "profiler"])
def test_debugging(here: Path, command: Callable, debug: str) -> None:
    quick = ["data.image_size=16", "data.batch_size=256", "trainer=cpu", "logger=csv"]
    epochs = ["trainer.max_epochs=2"] if debug == "overfit" else []
    said = command("train", f"debug={debug}", *quick, *epochs)
    assert said.status == 0 and said.err == ""
    assert ("Profiler Report" in said.out) == (debug == "profiler")
