import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import savemat
from torchvision.datasets import Flowers102 as Files

from helpers.batches import write_npz
from helpers.image_folders import write_image
from mixlab.data import Flowers102, ImageDataModule, MedMnist

SPLITS = {"trnid": [3, 1], "valid": [2, 6], "tstid": [4, 5, 7]}  # as setid.mat of the real set
KINDS = [1, 2, 1, 2, 102, 102, 1]  # counted from 1


def write_flowers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`flowers-102` as torchvision keeps it, of seven small images."""
    base = folder / "flowers-102"
    for number in range(1, 8):
        write_image(base / "jpg" / f"image_{number:05d}.jpg", number, side=(16, 20)[number % 2])
    savemat(base / "imagelabels.mat", {"labels": np.array([KINDS])})
    savemat(base / "setid.mat", {key: np.array([rows]) for key, rows in SPLITS.items()})
    (base / "102flowers.tgz").write_text("the archive")
    files = {"label": base / "imagelabels.mat", "setid": base / "setid.mat"}
    sums = {k: (f.name, hashlib.md5(f.read_bytes()).hexdigest()) for k, f in files.items()}
    monkeypatch.setattr(Files, "_file_dict", {**Files._file_dict, **sums})
    return folder


def test_flowers_that_are_there(tmp_path, monkeypatch):
    root = write_flowers(tmp_path / "flowers102", monkeypatch)
    source = Flowers102(root, image_size=8)
    found = [part.targets.tolist() for part in source.splits()]
    assert found == [[0, 0], [1, 101], [1, 101, 0]]
    data = ImageDataModule(source, val_size=0)
    assert data.spec.num_classes == 102 and data.spec.class_names[0] == "pink primrose"
    assert data.record()["test_split"] == "a set of its own"
    assert next(iter(data.train_dataloader())).images.shape == (2, 3, 8, 8)


def test_flowers_are_downloaded_whole(tmp_path, monkeypatch):
    root = tmp_path / "deep" / "flowers102"
    monkeypatch.setattr(Files, "download", lambda self: write_flowers(Path(self.root), monkeypatch))
    assert len(Flowers102(root, image_size=8).splits().test) == 3
    monkeypatch.setattr(Files, "download", refuse)
    assert len(Flowers102(root, image_size=8).splits().train) == 2
    assert [path.name for path in root.parent.iterdir()] == ["flowers102"]
    assert not [*root.rglob("*.tgz")]


def refuse(*args, **kwargs):
    raise RuntimeError("no route to host")


def test_without_a_network_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(Files, "download", refuse)
    with pytest.raises(ValueError, match="no route to host.*with a network connection, or copy"):
        Flowers102(tmp_path / "flowers102").splits()
    assert [*tmp_path.iterdir()] == []
    (tmp_path / "flowers102").mkdir()
    with pytest.raises(ValueError, match="does not hold a complete folder flowers-102"):
        Flowers102(tmp_path / "flowers102").splits()


class PathMNIST:
    """What the library's class does on its construction: a file named after set and size."""

    def __init__(self, split, *, download, root, size):
        assert split == "train" and download
        write_npz(Path(root) / f"pathmnist{'' if size == 28 else f'_{size}'}.npz")


@pytest.fixture
def library(monkeypatch):
    """A library `medmnist` that needs no network."""
    tasks = {"pathmnist": "multi-class", "chestmnist": "multi-label, binary-class"}
    tasks |= {"organmnist3d": "multi-class"}
    labels = {"0": "adipose", "2": "debris", "1": "background"}
    info = {
        name: {"python_class": "PathMNIST", "task": task, "label": labels}
        for name, task in tasks.items()
    }
    found = SimpleNamespace(INFO=info, PathMNIST=PathMNIST)
    monkeypatch.setitem(sys.modules, "medmnist", found)
    return found


@pytest.mark.parametrize("dataset", ["pathmnist", "pathmnist_64"])
def test_medmnist_is_downloaded_with_its_names(tmp_path, library, monkeypatch, dataset):
    path = tmp_path / "deep" / f"{dataset}.npz"
    data = MedMnist(path, dataset).splits().train
    assert len(data) == 30 and data.class_names == ("adipose", "background", "debris")
    monkeypatch.setitem(sys.modules, "medmnist", None)  # the file is enough
    assert len(MedMnist(path, dataset).splits().val) == 10
    assert [file.name for file in path.parent.iterdir()] == [f"{dataset}.npz"]


def test_a_file_of_medmnist_needs_no_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "medmnist", None)
    assert len(MedMnist(write_npz(tmp_path / "pathmnist.npz")).splits().test) == 12
    with pytest.raises(
        ValueError, match="no file .*bloodmnist.npz.*pip install medmnist, or write"
    ):
        MedMnist(tmp_path / "bloodmnist.npz", dataset="bloodmnist").splits()


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        ("pathmist", "not in MedMNIST; did you mean pathmnist"),
        ("organmnist3d", "3-D volumes; mixlab takes"),
        ("pathmnist_32", "no such size; choose one of pathmnist, pathmnist_64"),
    ],
)
def test_sets_that_cannot_be_used_are_not_fetched(tmp_path, library, dataset, sentence):
    library.PathMNIST = None
    with pytest.raises(ValueError, match=sentence):
        MedMnist(tmp_path / "x.npz", dataset=dataset).splits()
    assert [*tmp_path.iterdir()] == []


def test_medmnist_without_a_network(tmp_path, library):
    library.PathMNIST = refuse
    with pytest.raises(ValueError, match="could not download pathmnist .no route to host.*network"):
        MedMnist(tmp_path / "x.npz").splits()
    assert [*tmp_path.iterdir()] == []
