import os

import numpy as np
import pytest
import torch

from helpers.image_folders import CLASSES, write_broken, write_folder, write_image
from mixlab.data import Folder, ImageDataModule


def module(root, num_workers=0, *, on_error="raise", **options):
    files = {"on_error": on_error, "image_size": options.get("image_size")}
    return ImageDataModule(Folder(root, **files), num_workers=num_workers, batch_size=4, **options)


def test_class_folders_are_the_classes(tmp_path):
    (tmp_path / "notes.txt").write_text("beside the class folders")
    (tmp_path / ".git").mkdir()
    write_folder(tmp_path)
    (tmp_path / "cat" / ".DS_Store").write_text("of a desktop")
    data, val, test = Folder(tmp_path).splits()
    assert data.classes == CLASSES and len(data) == 18
    assert np.bincount(data.targets).tolist() == [6, 6, 6]
    image, label = data[7]
    assert image.shape == (3, 16, 16) and image.dtype == torch.uint8 and label == 1
    assert val is None and test is None
    assert Folder(tmp_path, channels=1, image_size=8).splits().train[0][0].shape == (1, 8, 8)


def test_images_may_lie_deeper(tmp_path):
    write_image(tmp_path / "cat" / "images" / "1.png")
    write_image(tmp_path / "dog" / "2.png")
    assert len(Folder(tmp_path).splits().train) == 2


def test_parts_of_their_own(tmp_path):
    for split, rows in (("train", 4), ("val", 2), ("test", 3)):
        write_folder(tmp_path / split, rows)
    data = module(tmp_path)
    record = data.record()
    assert [record[f"{name}_rows"] for name in ("train", "val", "test")] == [12, 6, 9]
    assert record["val_split"] == record["test_split"] == "a set of its own"
    assert data.spec.class_names == CLASSES


def test_a_part_that_lacks_a_class_has_the_labels_of_training(tmp_path):
    write_folder(tmp_path / "train", 2)
    write_folder(tmp_path / "val", 2, classes=("owl",))
    write_folder(tmp_path / "test", 1, classes=("cat", "owl"))
    _, val, test = Folder(tmp_path).splits()
    assert val.targets.tolist() == [2, 2] and test.targets.tolist() == [0, 2]


def test_held_out_rows_are_the_same_stratified_ones_in_every_run(tmp_path):
    write_folder(tmp_path, 10)
    train, _, test = Folder(tmp_path, test_size=0.2).splits()
    assert sorted(train.entries + test.entries) == sorted(Folder(tmp_path).splits().train.entries)
    assert np.bincount(test.targets).tolist() == [2, 2, 2]
    record = ImageDataModule(Folder(tmp_path, test_size=0.2), val_size=6, seed=3).record()
    assert (record["train_rows"], record["val_rows"], record["test_rows"]) == (18, 6, 6)
    assert record["test_split"].startswith("stratified rows of the data")


def test_the_number_of_workers_changes_no_batch(tmp_path):
    write_folder(tmp_path)
    batches = []
    for num_workers in (0, 2):
        data = module(tmp_path, num_workers, image_size=8, seed=5)
        train, val = data.train_dataloader(), data.val_dataloader()
        train.set_epoch(2)
        batches.append([*train, *val])
        data.teardown("fit")
    for one, other in zip(*batches, strict=True):
        assert one.address == other.address
        assert torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)


def damage(root, how):
    path = root / "dog" / "3.png"
    return {
        "empty folder": lambda: (root / "elk").mkdir(),
        "text": lambda: path.write_text("no image"),
        "link": lambda: (path.unlink(), path.symlink_to("/dev/null")),
        "size": lambda: write_image(path, side=20),
    }[how]()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("empty folder", "elk has no image; fill or remove this class folder"),
        ("text", "dog/3.png is not a JPEG or PNG image; fix or remove it"),
        ("link", "'dog/3.png' relative to .* leads outside"),
        ("size", "0.jpg has 16 x 16 and .*dog/3.png has 20 x 20 pixels.*set data.image_size"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path, how, sentence):
    damage(write_folder(tmp_path), how)
    with pytest.raises(ValueError, match=sentence) as error:
        Folder(tmp_path).splits()
    assert "\n" not in str(error.value)


def test_a_folder_that_is_none_of_classes(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not there; set data.path"):
        Folder(tmp_path / "nowhere").splits()
    with pytest.raises(ValueError, match="has no class folder; put"):
        Folder(tmp_path).splits()
    with pytest.raises(ValueError, match="x.png is a file"):
        Folder(write_image(tmp_path / "x.png")).splits()


def test_a_class_that_only_validation_has(tmp_path):
    write_folder(tmp_path / "train", 2)
    write_folder(tmp_path / "val", 2, classes=("cat", "yak"))
    with pytest.raises(ValueError, match="val has a class yak that .*train lacks"):
        Folder(tmp_path).splits()


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("val", "test"), "a folder test but none called train"),
        (("train", "validation"), "train and also validation; rename it"),
    ],
)
def test_misnamed_parts(tmp_path, names, sentence):
    for name in names:
        write_folder(tmp_path / name, 1)
    with pytest.raises(ValueError, match=sentence):
        Folder(tmp_path).splits()


@pytest.mark.parametrize("size", [1.5, 18, -1, "half"])
def test_test_size_must_leave_rows_to_train_on(tmp_path, size):
    write_folder(tmp_path)
    with pytest.raises(ValueError, match="data.test_size must be 0, a fraction"):
        Folder(tmp_path, test_size=size).splits()


def test_no_test_size_beside_a_test_set(tmp_path):
    write_folder(tmp_path / "train", 1), write_folder(tmp_path / "test", 1)
    with pytest.raises(ValueError, match="so data.test_size must be 0"):
        Folder(tmp_path, test_size=0.2).splits()


def test_a_class_without_a_row_to_train_on(tmp_path):
    write_folder(tmp_path, 1)
    with pytest.raises(ValueError, match="left to train on class cat.*lower data.test_size"):
        Folder(tmp_path, test_size=1).splits()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_broken_body_stops_training_with_its_name(tmp_path, num_workers):
    write_broken(write_folder(tmp_path) / "owl" / "5.png")
    data = module(tmp_path, num_workers, image_size=8)
    with pytest.raises(ValueError, match="owl/5.png cannot be decoded .*on_error=skip"):
        [*data.train_dataloader(), *data.val_dataloader()]
    data.teardown("fit")


def test_skipping_counts_what_is_left_out(tmp_path, capsys):
    write_broken(write_folder(tmp_path) / "owl" / "5.png")
    (tmp_path / "cat" / "0.jpg").write_text("no image")
    data = module(tmp_path, on_error="skip", image_size=8, val_size=0)
    record = data.record()
    assert record["train_skipped"] == 2 and record["train_rows"] == 16
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "2 of 18 images left out" in said and "cat/0.jpg" in said
    assert sum(len(batch.targets) for batch in data.train_dataloader()) == 16
    files = data.parts.train.data.dataset
    assert files.targets.tolist() == [files[row][1] for row in range(16)]
    split = module(tmp_path, on_error="skip", image_size=8, val_size=3)
    assert split.record()["val_split"].startswith("stratified")
    assert np.bincount(files.targets[split.parts.val.rows]).tolist() == [1, 1, 1]
    left = {entry.name for entry in files.entries}
    assert len(left) == 16 and not left & {"owl/5.png", "cat/0.jpg"}


def test_skipping_everything_is_an_error(tmp_path):
    for number in range(2):
        write_image(tmp_path / "cat" / f"{number}.png").write_text("no image")
    with pytest.raises(ValueError, match="none of the 2 images of .* can be used"):
        Folder(tmp_path, on_error="skip").splits()


@pytest.mark.parametrize("option", [{"channels": 4}, {"on_error": "ignore"}])
def test_bad_options(tmp_path, option):
    with pytest.raises(ValueError, match=f"{[*option][0]} must be"):
        Folder(write_folder(tmp_path, 1), **option).splits()


def test_a_link_to_the_whole_folder_is_followed(tmp_path):
    write_folder(tmp_path / "here", 1)
    os.symlink(tmp_path / "here", tmp_path / "there")
    assert len(Folder(tmp_path / "there").splits().train) == 3
