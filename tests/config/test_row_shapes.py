"""The shape that a configuration tells is the one that training sees, and no data are loaded."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig

from helpers.image_folders import write_csv, write_folder, write_image
from helpers.small_runs import composed, write_npz
from mixlab.config.row_shapes import row_shape
from mixlab.data import Downloaded, Npz
from mixlab.training.build import build_data

TWELVE = np.arange(12) % 3


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a user's in every layout."""
    folder = tmp_path_factory.mktemp("files")
    color = np.zeros((40, 20, 12, 3), np.uint8)
    write_npz(folder / "gray.npz")
    write_npz(folder / "color.npz", **dict.fromkeys(
        ("train_images", "val_images", "test_images"), color))  # fmt: skip
    np.savez_compressed(folder / "vectors.npz", X=np.ones((12, 5), np.float16), y=TWELVE)
    np.savez(folder / "signals.npz", X=np.ones((12, 7, 40)), y=TWELVE)
    write_folder(folder / "photos", rows=12)
    names = [f"{number}.png" for number in range(20)]
    for number, name in enumerate(names):
        write_image(folder / name, number)
    write_csv(folder / "list.csv", [(name, number % 2) for number, name in enumerate(names)])
    return folder


def of(words: str, folder: Path) -> DictConfig:
    return composed(*words.replace("HERE", str(folder)).split(), "mixing=none")


@pytest.mark.parametrize(
    ("words", "shape"),
    {
        "data=digits": (1, 32, 32),
        "data=digits data.image_size=16": (1, 16, 16),
        "data=digits data.image_size=null": (1, 8, 8),
        "data=shapes": (3, 64, 64),
        "data=shapes data.image_size=24": (3, 24, 24),
        "data=waves": (2, 128),
        "data=waves data.length=40": (2, 40),
        "data=clouds data.points=9": (3, 9),
        "data=wine": (13,),
        "data=wine data.dataset=iris": (4,),
        "data=breast_cancer": (30,),
        "data=digits_table": (64,),
        "data=embeddings data.path=HERE/vectors.npz": (5,),
        "data=embeddings data.path=HERE/signals.npz": (7, 40),
        "data=embeddings data.path=HERE/signals.npz data.features=first": (7, 40),
        "data=npz data.path=HERE/gray.npz": (1, 16, 16),
        "data=npz data.path=HERE/color.npz": (3, 20, 12),
        "data=npz data.path=HERE/color.npz data.image_size=8": (3, 8, 8),
        "data=medmnist data.dataset=bloodmnist data.path=HERE/color.npz": (3, 20, 12),
        "data=cifar10 data.path=HERE/gray.npz": (1, 16, 16),
        "data=folder data.path=HERE/photos data.image_size=12": (3, 12, 12),
        "data=folder data.path=HERE/photos data.image_size=12 data.channels=1": (1, 12, 12),
        "data=csv data.path=HERE/list.csv data.image_size=10": (3, 10, 10),
    }.items(),
)
def test_it_is_the_shape_of_the_data_module(
    words: str, shape: tuple[int, ...], files: Path
) -> None:
    cfg = of(words, files)
    assert row_shape(cfg.data) == shape
    assert build_data(cfg).spec.shape == shape


@pytest.mark.parametrize(
    ("words", "shape"),
    {
        "data=fashion_mnist": (1, 28, 28),
        "data=cifar10": (3, 32, 32),
        "data=cifar100 data.image_size=64": (3, 64, 64),
        "data=flowers102": (3, 224, 224),
        "data=shards data.path=none data.image_size=224": (3, 224, 224),
    }.items(),
)
def test_what_is_still_to_be_downloaded_is_known(words: str, shape: Any, here: Path) -> None:
    assert row_shape(of(words, here).data) == shape


@pytest.mark.parametrize(
    "words",
    [
        "data=npz data.path=HERE/gone.npz",
        "data=npz data.path=HERE/list.csv",
        "data=npz data.path=HERE/vectors.npz",
        "data=medmnist data.dataset=bloodmnist data.path=HERE/gone.npz",
        "data=embeddings data.path=HERE/gray.npz",
        "data=folder data.path=HERE/photos",
        "data=wine data.image_size=8",
        "data=wine data.dataset=wines",
        "data=torch data.source.train._target_=torchvision.datasets.FakeData data.image_size=8",
        "data=digits data.source._target_=mixlab.data.Source",
    ],
)
def test_what_only_the_data_can_tell_is_left_to_them(words: str, files: Path) -> None:
    assert row_shape(of(words, files).data) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("_target_", "mylab.Module"), ("source", None), ("length", "long"), ("source", {"a": 1})],
)
def test_what_is_not_ours_or_not_legal_has_no_known_shape(key: str, value: Any, here: Path) -> None:
    cfg = of("data=waves", here).copy()
    cfg.data[key] = value
    assert row_shape(cfg.data) is None


def test_a_file_that_has_changed_is_read_again(here: Path) -> None:
    cfg = of("data=npz data.path=HERE/my.npz", here)
    for side in (6, 9):
        images = np.zeros((4, side, side), np.uint8)
        np.savez(here / "my.npz", train_images=images)
        changed = side * 10**9  # two writes may come within one tick of the file system
        (here / "my.npz").touch()
        os.utime(here / "my.npz", ns=(changed, changed))
        assert row_shape(cfg.data) == (1, side, side)


def test_nothing_is_loaded(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*_: Any, **__: Any) -> None:
        raise AssertionError("the data were loaded")

    monkeypatch.setattr(np, "load", loaded)
    monkeypatch.setattr(np.lib.format, "read_array", loaded)
    for source in (Npz, Downloaded):
        monkeypatch.setattr(source, "splits", loaded)
    for words in ("data=npz data.path=HERE/color.npz", "data=cifar10 data.path=HERE/gray.npz"):
        assert row_shape(of(words, files).data) is not None
