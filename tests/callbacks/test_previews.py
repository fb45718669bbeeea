"""Pictures of the first batch of epochs 0, 1 and the last."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger

from helpers.small_runs import composed, small
from mixlab.callbacks import MixingCallback
from mixlab.callbacks.previews import Previews
from mixlab.mixing import Address, Batch
from mixlab.mixing.methods import Mixup
from mixlab.pictures.sheet import remark
from mixlab.previews.figures import show_batch
from mixlab.runs import run_folder
from mixlab.training.supervise import train


def draw(
    folder: Path, shape: tuple[int, ...], epoch: int, batch: int = 0, loggers: Any = ()
) -> None:
    callback = MixingCallback(Mixup(alpha=1.0))
    callback.mix(Batch(torch.rand(shape), torch.eye(shape[0]), Address(0, 0, epoch, batch)))
    trainer: Any = SimpleNamespace(
        current_epoch=epoch, max_epochs=10, callbacks=[callback], loggers=loggers, global_step=3
    )
    Previews(folder).on_train_batch_end(trainer, Any, None, None, batch)


@pytest.mark.parametrize("epoch", range(10))
def test_epochs_0_1_and_the_last(tmp_path: Path, epoch: int) -> None:
    draw(tmp_path, (4, 1, 8, 8), epoch)
    expected = [f"mixed-epoch-{epoch}.png"] if epoch in (0, 1, 9) else []
    assert [path.name for path in tmp_path.iterdir()] == expected


def test_only_the_first_batch(tmp_path: Path) -> None:
    draw(tmp_path, (4, 1, 8, 8), epoch=0, batch=1)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_which_nobody_says_what_they_are_have_no_picture(tmp_path: Path) -> None:
    draw(tmp_path, (4, 7), epoch=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        "experiment=table mixing=mixup",
        "experiment=signal mixing=signal_cutmix mixing.partners=second_pass",
        "experiment=points mixing=point_mixup mixing.probability=0.5",
        "experiment=table mixing=manifold_mixup mixing.layers=[last]",
    ],
)
def test_a_run_on_other_rows_has_pictures_too(tmp_path: Path, words: str) -> None:
    """Equal to what is drawn of the run later."""
    cfg = small(tmp_path, *words.split(), "data.image_size=null", "trainer.limit_train_batches=1")
    train(cfg)
    figures = sorted((run_folder(cfg) / "figures").iterdir())
    assert [path.name for path in figures] == ["mixed-epoch-0.png", "mixed-epoch-1.png"]
    preview = composed(config="preview").copy()
    preview.merge_with({"run": str(run_folder(cfg)), "epoch": 1})
    page, figure = np.asarray(show_batch(preview)[0]), np.asarray(Image.open(figures[1]))
    assert page.shape[1] == figure.shape[1] and len(page) > len(figure)
    assert np.array_equal(page[-len(figure) :], figure)


def test_tensorboard_gets_it(tmp_path: Path) -> None:
    images: list[Any] = []
    logger = TensorBoardLogger(tmp_path)
    logger._experiment = SimpleNamespace(add_image=lambda *args: images.append(args))
    draw(tmp_path, (4, 3, 8, 8), epoch=0, loggers=[logger])
    name, pixels, step = images[0]
    assert name == "pictures/mixed" and pixels.shape[0] == 3 and step == 3


def test_a_run_has_pictures_in_its_folder(tmp_path: Path) -> None:
    cfg = small(tmp_path, "mixing=cutmix", "trainer.limit_train_batches=1")
    train(cfg)
    figures = sorted((run_folder(cfg) / "figures").iterdir())
    assert [path.name for path in figures] == ["mixed-epoch-0.png", "mixed-epoch-1.png"]
    with Image.open(figures[0]) as picture:
        assert min(picture.size) > 100


def test_a_run_that_mixes_few_rows_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "mixlab.pictures.batch.remark", lambda text, width: said.append(text) or remark(text, width)
    )
    words = ("mixing=mixup", "mixing.probability=0.05", "trainer.limit_train_batches=1")
    cfg = small(tmp_path, *words, "trainer.max_epochs=1", "data.batch_size=64")
    train(cfg)
    assert (run_folder(cfg) / "figures" / "mixed-epoch-0.png").exists()
    assert said == ["4 of 64 rows are mixed; the rows shown are chosen to include mixed rows"]


def test_no_mixing_no_pictures(tmp_path: Path) -> None:
    cfg = small(tmp_path, "mixing=none", "trainer.limit_train_batches=1")
    train(cfg)
    assert not (run_folder(cfg) / "figures").exists()
