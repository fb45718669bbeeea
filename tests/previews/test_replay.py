"""Any batch of any run again, equal to what was trained on; or one sentence that says why not."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from helpers.small_runs import Watch, composed, console, small, train_with, write_npz
from mixlab.callbacks.mixing import mixing_callbacks
from mixlab.mixing import Address
from mixlab.previews.replay import (
    Replay,
    all_ranks,
    bare_trainer,
    batch_from,
    replay,
    unaugmented,
)
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json, write_json
from mixlab.runs.provenance import BATCHES, check_code
from mixlab.training.build import build_data
from mixlab.training.supervise import train

FLIPPED = ("augmentation=flip_crop", "augmentation.force=true")
RUNS = {
    "a box": ("mixing=cutmix", *FLIPPED),
    "second pass, less and less often": (
        "mixing=mixup", "mixing.partners=second_pass", "mixing.schedule=linear", *FLIPPED,
        "trainer.limit_train_batches=0.2",
    ),
    "whole set, half the bits, till a step in the midst": (
        "mixing=mixup", "mixing.partners=dataset", "mixing.schedule=cosine",
        "trainer.precision=bf16-true", "trainer.max_steps=6", "trainer.max_epochs=-1",
    ),
    "partners of all ranks": ("mixing=cutmix", "mixing.partners=across_ranks", *FLIPPED),
    "unmixed, always the same few": ("mixing=none", "trainer.overfit_batches=2", *FLIPPED),
}  # fmt: skip


def replayed(folder: Path, **options: Any) -> Replay:
    cfg = composed(config="preview").copy()
    cfg.merge_with({"run": str(folder), **options})
    return replay(cfg)


@pytest.mark.parametrize("overrides", RUNS.values(), ids=RUNS.keys())
def test_equal_to_what_was_trained_on(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    cfg, watch = small(tmp_path, *overrides, seed=5), Watch()
    train_with(cfg, watch)
    assert len(watch.steps) > 3
    for step in (watch.steps[1], watch.steps[-1]):
        _, _, epoch, batch = step.address
        found = replayed(run_folder(cfg), epoch=epoch, batch=batch)
        assert found.address == step.address
        assert found.batch.images.dtype == step.images.dtype
        assert torch.equal(found.batch.images, step.images)
        assert torch.equal(found.batch.targets, step.targets)
        assert torch.equal(found.batch.index, step.index)


def test_the_rows_of_other_ranks_are_made_again(tmp_path: Path) -> None:
    cfg = small(tmp_path, "mixing=mixup", "mixing.partners=across_ranks", *FLIPPED)
    data = build_data(cfg)
    trainer = bare_trainer(cfg, data)
    (callback,) = mixing_callbacks(trainer)
    before = []
    for rank in (0, 1):
        address = Address(0, rank, 1, 2)
        all_ranks(data, trainer, address, 2)
        data.on_after_batch_transfer(batch_from(data, address, 2), 0)
        assert callback.seen is not None
        before.append(callback.seen.before)
    for own, other in (before, before[::-1]):
        assert torch.equal(own.images, other.guests.images)
        assert torch.equal(own.index, other.guests.index)
        assert own.address != other.address


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    """A run of 2 epochs with 4 batches each, on a file of its own."""
    folder = tmp_path_factory.mktemp("trained")
    file = write_npz(folder / "mine.npz", rows=60)
    words = ("data=npz", f"data.path={file}", "data.batch_size=15", "mixing=cutmix")
    cfg = small(folder, *words)
    train(cfg)
    return cfg


@pytest.fixture
def run(trained: DictConfig, tmp_path: Path) -> Path:
    """A copy of the run's folder, to be tampered with."""
    return Path(shutil.copytree(run_folder(trained), tmp_path / "seed-0"))


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ({"epoch": 2}, "epoch=2 is beyond the run's 2 epochs; they count from 0"),
        ({"batch": 4}, "batch=4 is beyond the run's 4 batches of an epoch"),
        ({"rank": 1}, "rank=1 is beyond the run's 1 processes"),
    ],
)
def test_beyond_the_run(run: Path, address: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replayed(run, **address)


def test_a_finished_run_that_stopped_early_has_no_more_epochs(run: Path) -> None:
    write_json(run / "run.json", {**read_json(run / "run.json"), "epochs": 1})
    replayed(run, epoch=0)
    with pytest.raises(ValueError, match="epoch=1 is beyond the run's 1 epochs"):
        replayed(run, epoch=1)


def test_ranks_share_out_what_one_process_has(run: Path) -> None:
    whole = replayed(run, batch=3).batch
    write_json(run / "run.json", {**read_json(run / "run.json"), "devices": 2})
    first, second = (replayed(run, batch=3, rank=rank).seen[0].before for rank in (0, 1))
    rows = torch.stack([first.index[:7], second.index[:7]], dim=1).flatten()
    assert torch.equal(rows, whole.index[:14])
    assert second.address is not None and second.address.rank == 1


@pytest.mark.parametrize(
    "name", ["mixing/methods/cutmix.py", "data/augmentation.py", "callbacks/mixing.py"]
)
def test_code_that_changed(run: Path, name: str) -> None:
    record = read_json(run / "run.json")
    code = {**record["code"], f"mixlab/{name}": "0" * 64}
    write_json(run / "run.json", {**record, "code": code, "git": "abc123"})
    with pytest.raises(ValueError, match=rf"^mixlab/{name} changed .* the code of commit abc123$"):
        replayed(run)


def test_code_that_does_not_matter_may_change(run: Path) -> None:
    record = read_json(run / "run.json")
    for name in ("models/classifier.py", "callbacks/run_record.py"):
        assert f"mixlab/{name}" in record["code"], "it is there under another name"
        check_code({"code": {**record["code"], f"mixlab/{name}": "0" * 64}}, rooms=BATCHES)
    fewer = {name: digest for name, digest in record["code"].items() if "cutmix" not in name}
    check_code({"code": fewer})  # a method that came later


def test_other_devices_and_versions_are_told(run: Path) -> None:
    assert replayed(run).notes == []
    record = read_json(run / "run.json")
    record |= {"accelerator": "cuda", "versions": {**record["versions"], "numpy": "1.0"}}
    write_json(run / "run.json", record)
    device, version = replayed(run).notes
    assert "mixed on cuda" in device and "made by numpy 1.0, here" in version


def test_the_same_rows_unaugmented(tmp_path: Path) -> None:
    cfg = small(tmp_path, "trainer.overfit_batches=2", "augmentation=standard", "mixing=mixup")
    train(cfg)
    found = replayed(run_folder(cfg), epoch=1, batch=1)
    mixed = found.seen[0].before
    bare = unaugmented(found.data, found.address)
    assert torch.equal(bare.index, mixed.index) and torch.equal(bare.targets, mixed.targets)
    assert not torch.equal(bare.images, mixed.images)


def test_data_that_changed(trained: DictConfig, run: Path, tmp_path: Path) -> None:
    images = np.zeros((60, 16, 16), np.uint8)
    other = write_npz(tmp_path / "other.npz", rows=60, train_images=images)
    with pytest.raises(ValueError, match=r"the data \(.*other\.npz\) changed since the run"):
        replayed(run, data_path=str(other))
    moved = shutil.copy(trained.data.path, tmp_path / "moved.npz")
    again, known = replayed(run, data_path=str(moved)).batch, replayed(run).batch
    assert torch.equal(again.images, known.images)


def test_what_code_runs_is_for_the_command_to_say(run: Path) -> None:
    file = run / "config.yaml"
    text = file.read_text().replace("mixlab.mixing.methods.CutMix", "os.system")
    file.write_text(text.replace("allow: []", "allow: [os]"))
    with pytest.raises(ValueError, match="_target_ os.system is not among"):
        replayed(run)


MYLAB = """
import pytorch_lightning as pl, torch
from pathlib import Path

class Keep(pl.Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if batch.address[2:] == (1, 3):
            kept = {"images": batch.images, "targets": batch.targets}
            torch.save(kept, Path(trainer.default_root_dir) / f"kept-{trainer.global_rank}.pt")
"""


@pytest.mark.slow
def test_two_processes(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "mylab.py").write_text(MYLAB)
    (here / "conf" / "callbacks").mkdir(parents=True)
    (here / "conf" / "callbacks" / "keep.yaml").write_text("keep:\n  _target_: mylab.Keep\n")
    done = console(
        "train", "--config-dir=conf", "callbacks=keep", "allow=[mylab]", "trainer=ddp_sim",
        "threads=1", "trainer.max_epochs=2", "trainer.limit_train_batches=5", "mixing=cutmix",
        "data.image_size=16", "logger=csv", "augmentation=standard",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    monkeypatch.syspath_prepend(here)
    (folder,) = here.glob("logs/runs/train/*/seed-0")
    for rank in (0, 1):
        kept = torch.load(folder / f"kept-{rank}.pt", weights_only=True)
        found = replayed(folder, epoch=1, batch=3, rank=rank, allow=["mylab"]).batch
        assert torch.equal(found.images, kept["images"])
        assert torch.equal(found.targets, kept["targets"])
