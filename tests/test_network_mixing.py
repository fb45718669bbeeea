"""Whole runs whose mixing reaches into the network: cut off, resumed, replayed and repeated."""

import math
from pathlib import Path

import pytest

from helpers.small_runs import (
    SignalAt,
    checkpoint,
    composed,
    console,
    differences,
    inside,
    small,
    train_with,
    write_lab,
)
from mixlab.callbacks import Interrupted
from mixlab.ledger.audit import audit
from mixlab.previews.notes import BY_AREA
from mixlab.previews.replay import replay
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json

VIT = (
    "model=timm", "model.name=vit_tiny_patch16_224",
    "model.network.kwargs={patch_size: 4, depth: 2, embed_dim: 48, num_heads: 3, drop_rate: 0.1}",
)  # fmt: skip
RUNS = {
    "manifold_mixup": ("mixing=manifold_mixup", "trainer.accumulate_grad_batches=2"),
    "patchup_hard": ("mixing=patchup_hard", "model=cnn_bn", "callbacks=[default,ema]"),
    "patchup_soft": ("mixing=patchup_soft", "mixing.probability=0.7", "mixing.schedule=cosine"),
    "alignmix": ("mixing=alignmix", "model=cnn_bn"),
    "transmix": ("mixing=transmix", *VIT),
    "automix": ("mixing=automix", "model=cnn_bn", "callbacks=[default,ema]"),
    "tokenmix": ("mixing=tokenmix", "mixing.method.grid=4", *VIT),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, cut = (small(tmp_path / where, *RUNS[name]) for where in ("whole", "cut"))
    for cfg in (whole, cut):
        cfg.trainer.log_every_n_steps = 1
    train_with(whole)
    with pytest.raises(Interrupted):
        train_with(cut, SignalAt(1, 1))
    assert read_json(run_folder(cut) / "run.json")["status"] == "interrupted"
    train_with(cut)
    kept = [checkpoint(cfg) for cfg in (whole, cut)]
    parts = ("state_dict", "optimizer_states", "current_model_state", "mixing", "mixing_learned")
    assert not [
        found for part in parts for found in differences(*(each.get(part) for each in kept))
    ]
    assert len({(run_folder(cfg) / "metrics.csv").read_text() for cfg in (whole, cut)}) == 1
    assert audit([str(run_folder(whole))], steps=3, reach=8, seed=0), (
        "trained again, the same losses"
    )
    assert "equal to the bit" in capsys.readouterr().out
    if name == "automix":
        return  # its batches cannot be made again without the weights of each step
    options = composed(config="preview").copy()
    options.merge_with({"run": str(run_folder(whole)), "epoch": 1, "batch": 1})
    found = replay(options)
    by_network = name in ("transmix", "tokenmix")
    assert found.notes == [] and (BY_AREA in found.left_out) == by_network


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifold_mixup", "transmix", "automix"])
def test_two_ranks(name: str, here: Path) -> None:
    words = ["data=digits", *RUNS[name], "data.image_size=16", "trainer=ddp_sim", "logger=csv"]
    words += ["trainer.devices=2", "trainer.max_epochs=2", "trainer.limit_train_batches=4"]
    with inside(here):
        done = console("train", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = here.rglob("run.json")
    record = read_json(path)
    assert record["devices"] == 2 and math.isfinite(record["results"]["last"]["test/loss"])


MYLAB = '''
import hashlib, os, pickle, signal
from pathlib import Path
import pytorch_lightning as pl
from mixlab.callbacks import LearnedMixingCallback

class Watch(pl.Callback):
    """Writes down what each rank's mix block knows; in epoch 1 asks for a stop, if wanted."""

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        callback = next(c for c in trainer.callbacks if isinstance(c, LearnedMixingCallback))
        weights = callback.learner.network.state_dict()
        arrays = [weights[name].numpy().tobytes() for name in weights if "num_batches" not in name]
        images = callback.seen.after.images.numpy().tobytes()
        digests = [hashlib.sha256(each).hexdigest() for each in (b"".join(arrays), images)]
        with open(Path(trainer.default_root_dir) / f"rank-{trainer.global_rank}", "a") as file:
            print(batch.address[2], batch_idx, *digests, file=file)
        if trainer.global_rank == 1 and batch.address[2:] == (1, 1) and Path("stop").exists():
            os.kill(os.getpid(), signal.SIGTERM)
'''


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ranks_learn_one_mix_block_and_go_on_with_it(here: Path) -> None:
    """Statistics of normalization differ between ranks, and the block must not."""
    write_lab(here, MYLAB, "defaults: [default]\nwatch:\n  _target_: mylab.Watch\n", "watch")
    words = [
        "--config-dir=conf", "callbacks=watch", "allow=[mylab]", "trainer=ddp_sim", "threads=1",
        "data=digits", "data.image_size=16", "logger=csv", *RUNS["automix"][:2],
        "trainer.devices=2", "trainer.max_epochs=2", "trainer.limit_train_batches=4",
    ]  # fmt: skip
    with inside(here):
        (here / "stop").touch()
        assert console("train", *words).returncode == 143
        (here / "stop").unlink()
        for more in ([], ["paths.log_dir=whole"]):
            done = console("train", *words, *more)
            assert done.returncode == 0, done.stdout + done.stderr
    cut, whole = (
        {path.name: path.read_text().splitlines() for path in (here / place).rglob("rank-?")}
        for place in ("logs", "whole")
    )
    assert len(whole["rank-0"]) == 8 and cut == whole
    for zero, one in zip(whole["rank-0"], whole["rank-1"], strict=True):
        assert zero.split()[2] == one.split()[2] and zero.split()[3] != one.split()[3]
