"""Any map-style data set of a user's, in the user's folder, as a command takes it."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf
from PIL import Image

from helpers.pages import ROOT, write_files
from helpers.small_runs import checkpoint
from mixlab.errors import UserError
from mixlab.models import MultiLabelClassifier
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json
from mixlab.training.model import check_learns

PAGE = ROOT / "docs" / "bring-your-own.md"
MYLAB = '''
import numpy as np
from PIL import Image
from torch.utils.data import Dataset

class Skin(Dataset):
    """Colored pictures of three kinds, of unlike sizes, flipped at random."""

    classes = ["mole", "wart", "scar"]

    def __init__(self, rows: int, shade: int = 0) -> None:
        self.rows, self.shade = rows, shade

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        pixels = np.full((20 + row % 3, 24, 3), self.shade + row % 3 * 80, np.uint8)
        pixels[:, : np.random.randint(1, 24)] = 255
        return Image.fromarray(pixels), row % 3
'''


def test_a_data_set_of_ones_own(here: Path, command: Callable) -> None:
    (here / "mylab.py").write_text(MYLAB)
    said = command(
        "train", "data=torch", "allow=[mylab]",
        "data.source.train._target_=mylab.Skin", "data.source.train.kwargs={rows:50}",
        "data.source.test._target_=mylab.Skin", "data.source.test.kwargs={rows:9,shade:2}",
        "data.image_size=16", "data.batch_size=8", "data.num_workers=1", "mixing=cutmix",
        "trainer=cpu", "trainer.max_epochs=2", "logger=csv", "threads=1",
    )  # fmt: skip
    assert said.status == 0 and said.err == "", said.err
    cfg = OmegaConf.load(next(here.rglob("config.yaml")))
    record = read_json(run_folder(cfg) / "run.json")
    assert (record["data"]["train_rows"], record["data"]["test_rows"]) == (45, 9)
    assert "mylab.py" in record["code"] and record["arm"] == "skin-cnn-cutmix"
    *_, bias = checkpoint(cfg)["state_dict"].values()
    assert bias.shape == (3,), "a class for each name"
    said_first, *_, result, following = said.out.splitlines()
    assert said_first.startswith(
        "data       skin, rows 45 to train, 5 to validate, 9 to test; 3 cl"
    )
    assert ("epoch 2 of 2: train loss " in said.out) and "test accuracy" in result
    assert following.startswith("next: mixlab-evaluate run=logs/runs/train/skin-cnn-cutmix-")


def test_a_folder_of_ones_own(here: Path, command: Callable) -> None:
    for number in range(30):
        path = here / "photos" / ("mole", "wart")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + number, 24), (8 * number, 0, 0)).save(path)
    path.write_text("no image")
    words = (
        "data=folder", "data.path=photos", "data.test_size=0.2", "data.image_size=16",
        "data.num_workers=0", "data.batch_size=8", "trainer=cpu", "trainer.max_epochs=1",
        "logger=csv", "threads=1",
    )  # fmt: skip
    said = command("train", *words)
    assert said.status == 2 and "photos/wart/29.png is not a JPEG or PNG image" in said.sentence
    assert not [*here.rglob("run.json")]
    said = command("train", *words, "data.on_error=skip")
    assert said.status == 0 and said.err == "", said.err
    assert "1 of 24 images left out" in said.out.splitlines()[0] and "photos-cnn-" in said.out
    data = read_json(next(here.rglob("run.json")))["data"]
    assert [data[f"{part}_rows"] for part in ("train", "val", "test")] == [21, 2, 6]
    assert (data["train_skipped"], data["test_skipped"]) == (1, 0)
    assert data["test_split"].startswith("stratified rows of the data")


def test_a_source_of_ones_own_as_the_docs_print_it(here: Path, command: Callable) -> None:
    write_files(here)
    node = (here / "my_configs" / "data" / "stripes.yaml").read_text()
    assert len(node.splitlines()) <= 15
    line = re.search(r"^mixlab-train (--config-dir.*data=stripes.*)$", PAGE.read_text(), re.M)
    assert line
    said = command(
        "train", *shlex.split(line[1]), "trainer=cpu", "trainer.max_epochs=1", "logger=csv",
        "threads=1", "data.batch_size=16",
    )  # fmt: skip
    assert said.status == 0 and said.err == "", said.err
    data = read_json(next(here.rglob("run.json")))["data"]
    assert [data[f"{part}_rows"] for part in ("train", "val", "test")] == [180, 20, 100]
    said = command("train", *shlex.split(line[1]), "data.source.widht=3")
    assert said.status == 2 and "data.source.widht is not a key" in said.sentence


def test_lists_of_labels_as_classes_have_the_separator_as_remedy() -> None:
    model: Any = object.__new__(MultiLabelClassifier)
    data: Any = SimpleNamespace(name="findings", has_masks=False, multi_label=False)
    data.spec = SimpleNamespace(class_names=("daisy", "daisy;rose"))
    with pytest.raises(UserError, match="learns; use 'data.label_separator=\";\"'$"):
        check_learns(model, data)
    data.spec.class_names = ("daisy", "rose")
    with pytest.raises(UserError, match="use a classifier"):
        check_learns(model, data)


def test_several_labels_an_image(here: Path, command: Callable) -> None:
    write_files(here)
    words = (
        "train", "data=torch", "data.source.train._target_=mylab.Findings", "allow=[mylab]",
        "data.source.train.split=train", "trainer=cpu", "trainer.max_epochs=1", "logger=csv",
        "data.num_workers=0", "metrics=mean_average_precision",
    )  # fmt: skip
    said = command(*words)
    assert said.status == 2 and "findings has several labels an image" in said.sentence
    several = "model._target_=mixlab.models.MultiLabelClassifier"
    said = command(*words, several)
    assert said.status == 2 and "use model.loss=binary_cross_entropy" in said.sentence
    words = (*words, several, "model.loss=binary_cross_entropy")
    said = command(*words, "mixing.partners=same_class")
    assert said.status == 2 and "needs one class an image" in said.sentence
    said = command(*words, "metrics=f1")
    assert said.status == 2 and "use a Multilabel metric" in said.sentence
    said = command(*words, "mixing=cutmix", "callbacks=multi_label")
    assert said.status == 0 and said.err == "", said.err
    assert ": val mean_average_precision " in said.out
    record = read_json(next(here.rglob("run.json")))
    assert {"val/accuracy", "val/mean_average_precision"} <= {*record["results"]["best"]}
    assert [*here.rglob("figures/*.png")], "with the labels in words"
