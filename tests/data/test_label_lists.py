"""Several labels in one value of a CSV file."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mixlab.data import Csv, ImageDataModule
from mixlab.errors import UserError

ROWS = ("cat;dog", "dog", "", "cat ; bird", "bird")


def csv(folder: Path, values: Any = ROWS, splits: Any = ("train",) * 5) -> str:
    lines = ["image,label,split"]
    for number, (value, split) in enumerate(zip(values, splits, strict=True)):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{value},{split}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return str(folder / "labels.csv")


def test_labels_of_a_row_become_zeros_and_ones(tmp_path: Path) -> None:
    data = ImageDataModule(Csv(csv(tmp_path), label_separator=";"), val_size=0)
    assert data.multi_label and data.spec.class_names == ("bird", "cat", "dog")
    (batch,) = data.train_dataloader()
    found = data.on_after_batch_transfer(batch, 0).targets[batch.index.argsort()]
    assert found.tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert found.dtype == torch.float32


def test_test_rows_are_held_out(tmp_path: Path) -> None:
    found = Csv(csv(tmp_path), label_separator=";", test_size=1).splits()
    assert (len(found.train), len(found.test)) == (4, 1)
    assert "random rows" in found.test.record()["split"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"label_separator": "|"}, "has data.label_separator='\\|' \\('cat;dog' has ';'\\)"),
        ({"label_separator": ""}, "data.label_separator must be a character as ';', got ''"),
        (
            {"label_separator": ";", "class_names": ["cat", "dog", "birb"]},
            "row 4 .*'bird' is not in data.class_names; did you mean birb",
        ),
    ],
)
def test_a_wrong_separator_or_label(tmp_path: Path, options: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Csv(csv(tmp_path), **options).splits()


def test_a_label_that_cannot_be_learned(tmp_path: Path) -> None:
    path = csv(tmp_path, splits=("train", "train", "train", "test", "test"))
    with pytest.raises(UserError, match="no row to train on has the label bird"):
        Csv(path, label_separator=";").splits()
