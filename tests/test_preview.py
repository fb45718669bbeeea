"""A batch before and after mixing, as the training sees it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from mixlab.previews.rows import batch_at
from mixlab.training import build_data
from small import Watch, composed, small, train_with, write_npz


@pytest.mark.parametrize("mixing", ["mixup", "cutmix", "one_of"])
def test_any_batch_of_a_training_can_be_looked_at(tmp_path: Path, mixing: str) -> None:
    watch = Watch()
    train_with(small(tmp_path, f"mixing={mixing}", "augmentation=standard", seed=3), watch)
    cfg = composed(
        "data.image_size=16", f"mixing={mixing}", "augmentation=standard", config="preview"
    ).copy()
    cfg.seed, cfg.epoch, cfg.batch = 3, 1, 2
    seen = batch_at(cfg, build_data(cfg))
    (step,) = (step for step in watch.steps if step.address == (3, 0, 1, 2))
    assert torch.equal(seen.after.images, step.images)
    assert torch.equal(seen.after.targets, step.targets)
    assert not torch.equal(seen.before.images, seen.after.images)


def test_a_picture_in_the_folder_of_the_command(here: Path, command: Callable) -> None:
    write_npz(here / "mine.npz")
    said = command("preview", "data=npz", "data.path=mine.npz", "output=sub/cutmix.png")
    assert said.status == 0 and "sub/cutmix.png: 40 rows of npz, before and after" in said.out
    with Image.open(here / "sub" / "cutmix.png") as picture:
        assert min(picture.size) > 100
    assert {path.name for path in here.iterdir()} == {"mine.npz", "sub"}


def test_a_picture_is_a_png(here: Path, command: Callable) -> None:
    said = command("preview", "output=cutmix.jpg")
    assert said.status == 2 and "output=cutmix.jpg must end in .png" in said.sentence
