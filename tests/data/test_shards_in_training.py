"""Trainings on shards: killed and resumed, on two ranks, and ImageNet's recipe on a stand-in."""

import json
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.image_folders import write_folder, write_image
from helpers.killed import train_in_child
from helpers.small_runs import (
    SignalAt,
    checkpoint,
    console,
    differences,
    inside,
    small,
    train_with,
    write_lab,
)
from mixlab.data import make_shards
from mixlab.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SET = (
    "data=shards", "data.batch_size=8", "data.val_size=10", "data.test_size=12", "mixing=cutmix",
    "data.crop=imagenet", "data.shuffle_shards=2", "trainer.limit_train_batches=1.0",
)  # fmt: skip
COMPARED = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "mixing")
MYLAB = '''
from pathlib import Path
import json, pytorch_lightning as pl

class Watch(pl.Callback):
    """Writes down what each rank is given."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        line = {"epoch": trainer.current_epoch, "rows": batch.index.tolist()}
        with open(Path(trainer.default_root_dir) / f"rank-{trainer.global_rank}", "a") as file:
            print(json.dumps(line), file=file)
'''
WATCH = "defaults: [default]\nwatch:\n  _target_: mylab.Watch\n"


def make_set(folder: Path, images: Path) -> Path:
    make_shards.make(make_shards.listed_images(str(images)), folder, 4_000)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("images"), 22)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    return make_set(tmp_path_factory.mktemp("made") / "shards", images)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_killed_run_ends_as_one_that_never_stopped(shards, tmp_path, num_workers):
    words = (*SET, "checkpoint_minutes=0", f"data.path={shards}", f"data.num_workers={num_workers}")
    once, again = (small(tmp_path / name, *words) for name in ("once", "again"))
    assert train_in_child(once) == 0
    assert train_in_child(again, SignalAt(0, 3, signal.SIGTERM)) == 1
    assert checkpoint(again)["global_step"] in (3, 4), "in the middle of an epoch of 6 batches"
    assert train_in_child(again, SignalAt(1, 2, signal.SIGKILL)) == -signal.SIGKILL
    assert train_in_child(again) == 0
    kept = ({key: checkpoint(cfg)[key] for key in COMPARED} for cfg in (once, again))
    assert not list(differences(*kept))


def test_a_set_that_changed_stops_a_resumed_run(images, tmp_path):
    photos = write_folder(tmp_path / "images", 22)
    path = make_set(tmp_path / "shards", photos)
    cfg = small(tmp_path, *SET, f"data.path={path}", "data.num_workers=0")
    assert train_in_child(cfg, SignalAt(0, 3, signal.SIGTERM)) == 1
    path.rename(tmp_path / "before")
    write_image(photos / "cat" / "3.png", 999)
    make_set(path, photos)
    with pytest.raises(UserError, match="was trained on other data .*; restore them to continue"):
        train_with(cfg)


def test_two_ranks_share_every_epoch(shards, tmp_path):
    write_lab(tmp_path, MYLAB, WATCH, "watch")
    with inside(tmp_path):
        done = console(
            "train", *SET, f"data.path={shards}", "--config-dir=conf", "callbacks=watch",
            "allow=[mylab]", "trainer=ddp_sim", "threads=1", "trainer.max_epochs=2",
            "data.image_size=16", "data.num_workers=1", "logger=csv", "data.val_size=8",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ranks = [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(tmp_path.rglob("rank-?"))
    ]
    assert len(ranks) == 2 and len(ranks[0]) == len(ranks[1]) > 10
    for epoch in (0, 1):
        rows = [row for rank in ranks for b in rank if b["epoch"] == epoch for row in b["rows"]]
        assert len(rows) == 66 - 12 - 8 and {*Counter(rows).values()} == {1}


def test_the_recipe_of_imagenet_runs_on_a_stand_in(tmp_path):
    """A few hundred JPEG files of all sizes in the layout of ImageNet, in small batches."""
    rng = np.random.default_rng(0)
    for number in range(300):
        split, size = ("train", "test")[number % 4 == 0], rng.integers(70, 130, 2).tolist()
        path = tmp_path / "images" / split / f"n{number % 10:08d}" / f"{number}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        blocks = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        blocks.resize(size, Image.Resampling.BICUBIC).save(path)
    make_set(tmp_path / "data" / "imagenet-shards", tmp_path / "images")
    with inside(tmp_path):
        done = console(
            "train", "experiment=imagenet_resnet50", "trainer=cpu", "threads=1", "logger=csv",
            "data.image_size=64", "data.batch_size=16", "data.eval_batch_size=64",
            "trainer.max_epochs=1", "trainer.limit_train_batches=3", "data.num_workers=2",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(next(tmp_path.rglob("run.json")).read_text())
    assert record["data"]["train_rows"] == 225 and record["data"]["test_rows"] == 75
    assert record["data"]["train_shards"] > 10
    assert np.isfinite(record["results"]["last"]["test/loss"])
