"""Rows that are no images, from every source of them to the batch of the model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.pages import ROOT
from helpers.small_runs import composed
from mixlab.data import (
    ArrayDataset,
    Arrays,
    Clouds,
    Datasets,
    FlipCrop,
    ImageDataModule,
    ImageSpec,
    Npz,
    SklearnTable,
    Waves,
)
from mixlab.data.arrays import EXAMPLE
from mixlab.errors import UserError
from mixlab.training.supervise import train

SOURCES = {
    "table": (SklearnTable("wine"), (13,), 3),
    "signal": (Waves(), (2, 128), 4),
    "points": (Clouds(points=16), (3, 16), 4),
}


def arrays(path: Path, **found: Any) -> str:
    rng = np.random.default_rng(0)
    whole = {"X": 5 + 3 * rng.normal(size=(40, 6, 4)), "y": np.arange(40) % 2, **found}
    np.savez(path / "my.npz", **{key: value for key, value in whole.items() if value is not None})
    return str(path / "my.npz")


@pytest.mark.parametrize("name", SOURCES)
def test_sources_give_float_rows_that_are_normalized_by_training_rows(name: str) -> None:
    source, shape, classes = SOURCES[name]
    data = ImageDataModule(source, batch_size=50, val_size=0.2, normalize="train")
    assert data.spec.shape == shape and data.spec.num_classes == classes
    assert not isinstance(data.spec, ImageSpec) and data.has_test
    batches = [data.on_after_batch_transfer(b, 0) for b in data.train_dataloader()]
    rows = torch.cat([batch.images for batch in batches]).double()
    assert rows.dtype == torch.float64 and batches[0].images.dtype == torch.float32
    other = (0, *range(2, rows.ndim))
    torch.testing.assert_close(rows.mean(other), torch.zeros(shape[0]).double(), atol=1e-4, rtol=0)
    spread = rows.std(other, correction=0)
    torch.testing.assert_close(spread, torch.ones(shape[0]).double(), atol=1e-4, rtol=0)
    (tested, *_) = data.test_dataloader()
    plain = source.splits().test.images[tested.index]
    scale = data.prepare.normalize
    assert scale is not None
    prepared = data.on_after_batch_transfer(tested, 0).images
    ones = [1] * (len(shape) - 1)
    mean, std = (torch.tensor(x).view(-1, *ones) for x in (scale.mean, scale.std))
    torch.testing.assert_close(prepared, (plain - mean) / std)
    assert {*tested.targets.tolist()} == {*range(classes)}


def test_clouds_are_known_as_such(tmp_path: Path) -> None:
    """Also what is held out of them, and what a file says to have."""
    path = arrays(tmp_path)
    found = {
        features: ImageDataModule(Arrays(path, features, test_size=0.25), val_size=0)
        for features in ("last", "first", "points")
    }
    assert [data.spec.is_cloud for data in found.values()] == [False, False, True]
    assert [data.spec.feature_axis for data in found.values()] == [-1, 0, 0]
    assert found["points"].parts.test.data.is_cloud
    assert ImageDataModule(Clouds(points=16), val_size=0).spec.is_cloud
    assert not ImageDataModule(Waves(), val_size=0).spec.is_cloud
    flat = arrays(tmp_path, X=np.zeros((40, 6)))
    assert not ImageDataModule(Arrays(flat, "points"), val_size=0).spec.is_cloud
    with pytest.raises(UserError, match="must be one of last, first, points, got 'frist'"):
        Arrays(path, "frist").splits()


@pytest.mark.parametrize("make", [Waves, Clouds])
def test_generated_sets_are_the_same_in_every_run_and_of_their_seed(make: Any) -> None:
    first, again, other = make().splits(), make().splits(), make(set_seed=1).splits()
    assert first.train.fingerprint == again.train.fingerprint != other.train.fingerprint
    assert not torch.equal(first.val.images, first.train.images[: len(first.val)])


@pytest.mark.parametrize(("features", "axis"), [("last", -1), ("first", 0)])
def test_embeddings_are_normalized_along_their_features(
    tmp_path: Path, features: str, axis: int
) -> None:
    source = Arrays(arrays(tmp_path), features, test_size=0.25)
    data = ImageDataModule(source, normalize="train", val_size=0)
    assert data.spec.feature_axis == axis and len(data.parts.test) == 10
    assert data.spec.channels == (4 if features == "last" else 6)
    (batch,) = data.train_dataloader()
    rows = data.on_after_batch_transfer(batch, 0).images
    mean = rows.mean((0, 1) if features == "last" else (0, 2))
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-5, rtol=0)


def test_a_feature_that_never_changes_stays_finite() -> None:
    rows = torch.ones(10, 3)
    data = ImageDataModule(ArrayDataset(rows, torch.arange(10) % 2), normalize="train", val_size=0)
    (batch,) = data.train_dataloader()
    assert torch.equal(data.on_after_batch_transfer(batch, 0).images, torch.zeros(10, 3))


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"X": None}, "has y; it needs X"),
        ({"X": np.zeros((40, 2, 2, 2))}, "it must be numbers, N x D or N x T x D"),
        ({"X": np.full((40, 3), np.nan)}, "row 0 of X of .* has the value nan; fill in"),
        ({"y": np.arange(39)}, "has 40 rows but 39 labels"),
        ({"y": np.full((40, 3), 2)}, "have the value 2 in row 0, column 0; 3 columns are several"),
        ({"y": np.full(40, 0.5)}, "they must be integers counted from 0"),
    ],
)
def test_files_of_another_layout(tmp_path: Path, found: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Arrays(arrays(tmp_path, **found)).splits()


@pytest.mark.parametrize("name", ["embeddings.npz", "my.npz"])
def test_a_missing_file_gets_what_makes_one(tmp_path: Path, name: str) -> None:
    """The script for the example that the experiment names, and for both what a file holds."""
    path = tmp_path / "a folder" / name
    with pytest.raises(UserError) as caught:
        Arrays(str(path)).splits()
    words = str(caught.value)
    assert words.startswith(f"there is no file {path}; ")
    assert "set data.path to an .npz file with X (numbers, N x D or N x T x D) and y (N)" in words
    example = f"`python scripts/digits_embeddings.py '{path}'`"
    assert (example in words) == (name == "embeddings.npz") == ("scripts" in words)


def test_the_example_is_the_file_of_the_experiment() -> None:
    assert Path(composed("experiment=embeddings").data.path).name == EXAMPLE
    assert (ROOT / "scripts" / "digits_embeddings.py").is_file()


def test_several_labels_of_files(tmp_path: Path) -> None:
    """Of embeddings, and of images in the layout of MedMNIST."""
    labels = np.random.default_rng(0).integers(0, 2, (40, 3))
    source = Arrays(arrays(tmp_path, y=labels), test_size=10)
    images = np.zeros((40, 28, 28), np.uint8)
    np.savez(
        tmp_path / "chest.npz", train_images=images, train_labels=labels.astype(np.uint8),
        test_images=images, test_labels=labels.astype(bool),
    )  # fmt: skip
    for each in (source, Npz(str(tmp_path / "chest.npz"))):
        data = ImageDataModule(each, batch_size=64)
        assert data.multi_label and data.spec.num_classes == 3
        for loader in (data.train_dataloader(), data.test_dataloader()):
            (batch,) = loader
            whole = each.splits()
            part = whole.train if batch.address is not None else whole.test
            batch = data.on_after_batch_transfer(batch, 0)
            assert torch.equal(batch.targets, part.targets[batch.index].float())


def test_what_is_for_images_is_refused() -> None:
    table = Datasets(ArrayDataset(torch.rand(20, 5), torch.arange(20) % 2, source="mine"))
    for options, sentence in (
        ({"image_size": 8}, "data.image_size is for images, and mine has rows of shape"),
        (
            {"augmentation": FlipCrop(flip=True, crop_padding=0, force=True)},
            "augmentation is for images, and lab has rows of shape .*; use augmentation=none",
        ),
        ({"normalize": "trian"}, "must be null, train or {mean"),
    ):
        with pytest.raises(UserError, match=sentence):
            ImageDataModule(table, name="lab", **options)
    unlike = ArrayDataset(torch.rand(20, 4), torch.arange(20) % 2, source="mine")
    with pytest.raises(UserError, match=r"test rows of mine have shape \(4,\), but .* \(5,\)"):
        ImageDataModule(Datasets(table.train, None, unlike))


@pytest.mark.parametrize("experiment", ["table", "signal"])
def test_rows_are_trained_with_mixing(tmp_path: Path, experiment: str) -> None:
    words = (f"experiment={experiment}", "mixing=mixup", "trainer=cpu", "trainer.max_epochs=1")
    cfg = composed(*words, "threads=1", "logger=csv").copy()
    cfg.paths.root_dir, cfg.paths.log_dir = str(tmp_path), str(tmp_path / "logs")
    assert train(cfg)["best"]["test/accuracy"] > 0
