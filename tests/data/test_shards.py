"""A run on shards is the run on the folder that they were made of, and bad sets are sentences."""

import json
import os
import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.image_folders import CLASSES, write_broken, write_csv, write_folder, write_image
from mixlab.data import Folder, ImageDataModule, Shards, make_shards, shard_files
from mixlab.data.crops import Square
from mixlab.errors import ForUsers, UserError

SMALL = 2_000  # bytes: a few images a shard


def made(folder: Path, source: Path, shard_bytes: int = SMALL, **options) -> Path:
    make_shards.make(make_shards.listed_images(str(source), **options), folder, shard_bytes)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("images"), 9)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    return made(tmp_path_factory.mktemp("made") / "shards", images)


@pytest.fixture
def shards(tmp_path: Path, whole: Path) -> Path:
    """A set that a test may damage."""
    return shutil.copytree(whole, tmp_path / "shards")


def module(source, num_workers=0, **options):
    return ImageDataModule(source, num_workers=num_workers, batch_size=4, val_size=6, **options)


def batches(data: ImageDataModule, epoch: int = 1) -> list:
    train, val = data.train_dataloader(), data.val_dataloader()
    train.set_epoch(epoch)
    found = [*train, *val]
    data.teardown("fit")
    return found


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_batch_is_the_one_of_the_folder(images, whole, num_workers):
    options = {"fraction": 0.9, "label_noise": 0.3, "seed": 5}
    both = module(Folder(images), **options), module(Shards(str(whole)), num_workers, **options)
    assert both[0].spec == both[1].spec and both[1].spec.class_names == CLASSES
    assert len(both[1].parts.train.data.dataset.split.shards) > 3
    for one, other in zip(*map(batches, both), strict=True):
        assert one.address == other.address and torch.equal(one.index, other.index)
        assert torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)


def test_splits_and_class_names_are_kept(tmp_path):
    for split, rows in (("train", 4), ("val", 2), ("test", 3)):
        write_folder(tmp_path / "images" / split, rows)
    record = module(Shards(str(made(tmp_path / "shards", tmp_path / "images")))).record()
    assert [record[f"{name}_rows"] for name in ("train", "val", "test")] == [12, 6, 9]
    assert record["test_split"] == "a set of its own" and record["train_shards"] > 1
    with pytest.raises(UserError, match="has rows to test on, so data.test_size must be 0"):
        Shards(str(tmp_path / "shards"), test_size=3).splits()


def test_held_out_rows_are_those_of_the_folder(images, whole):
    folder, shards = (of(str(at), test_size=6) for of, at in ((Folder, images), (Shards, whole)))
    for one, other in zip(folder.splits(), shards.splits(), strict=True):
        assert (one is None) == (other is None)
        assert one is None or one.targets.tolist() == other.targets.tolist()
        assert one is None or torch.equal(one[3][0], other[3][0])


def test_a_csv_file(tmp_path):
    for row in range(4):
        write_image(tmp_path / f"{row}.jpg", row, side=16 + 4 * row)
    rows = [[f"{row}.jpg", "ab"[row % 2], ("train", "test")[row > 1]] for row in range(4)]
    labels = write_csv(tmp_path / "labels.csv", rows, ("file", "kind", "part"))
    columns = {"image_column": "file", "label_column": "kind", "split_column": "part"}
    made(tmp_path / "shards", labels, **columns)
    train, val, test = Shards(str(tmp_path / "shards"), image_size=8, channels=1).splits()
    assert (len(train), val, len(test)) == (2, None, 2) and train.classes == ("a", "b")
    assert test[1][0].shape == (1, 8, 8) and test[1][1] == 1


def test_rows_stored_together_are_not_alike(whole):
    split = shard_files.read_set(whole).splits["train"]
    first = split.labels[split.shards_of(split.places) == 0]
    assert len(first) > 2 and len({*first.tolist()}) > 1


def test_a_window_of_shards_holds_every_row_once_and_few_shards_at_a_time(whole):
    data = module(Shards(str(whole), shuffle_shards=2), seed=1)
    plan, split = data.train_plan(), data.parts.train.data.dataset.split
    order = plan.order(3)
    assert sorted(order) == sorted(plan.rows) and not np.array_equal(order, plan.order(4))
    assert np.array_equal(
        order, module(Shards(str(whole), shuffle_shards=2), seed=1).train_plan().order(3)
    )
    shards = split.shards_of(split.places[order]).tolist()
    changes = [len({*shards[at:]} & {*shards[:at]}) for at in range(len(shards))]
    assert max(changes) <= 2 < len({*shards}), "no more than two shards are begun and not ended"


def test_ranks_share_the_rows(whole):
    seen: list[int] = []
    for rank in (0, 1):
        plan = module(Shards(str(whole), test_size=1, shuffle_shards=2)).train_plan()
        mine = list(replace(plan, rank=rank, world_size=2).batches(0))
        assert len(mine) == len(plan)
        seen += [row for _, rows in mine for row in rows.tolist()]
    assert sorted(seen) == sorted(plan.rows.tolist())


def test_training_crops_at_random_and_evaluation_in_the_middle(tmp_path):
    write_folder(tmp_path / "images", 8, classes=("a", "b"))
    write_image(tmp_path / "images" / "a" / "9.png", side=32)
    path = str(made(tmp_path / "shards", tmp_path / "images"))
    data = module(Shards(path, crop="imagenet", image_size=14), image_size=14, seed=2)
    again, other = (
        module(Shards(path, crop="imagenet", image_size=14), 2, image_size=14, seed=2) for _ in "ab"
    )
    first = batches(data)
    for one, two in zip(first, batches(again), strict=True):
        assert torch.equal(one.images, two.images)
    assert not torch.equal(first[0].images, batches(other, 2)[0].images)
    files, rows = data.parts.val.data.dataset, data.parts.val.rows
    last = torch.cat([batch.images for batch in first if batch.address is None])
    assert torch.equal(last, torch.stack([files[row][0] for row in rows])), "nothing is drawn"
    whole_picture = Shards(path).splits().train[rows[0]][0]
    assert torch.equal(last[0], whole_picture[:, 1:-1, 1:-1]), "16 pixels, of which the middle 14"


def test_a_crop_needs_a_size():
    with pytest.raises(UserError, match="data.image_size=224"):
        Square(None, "imagenet")
    with pytest.raises(UserError, match="did you mean imagenet"):
        Square(8, "imagnet")


def test_a_fork_opens_its_own_shards_and_a_pickle_none(whole, monkeypatch):
    data = Shards(str(whole)).splits().train
    data[0]
    readers = data.readers
    assert len(readers.opened) == 1 and not pickle.loads(pickle.dumps(readers)).opened
    monkeypatch.setattr(os, "getpid", lambda: -1)
    before = {**readers.opened}
    data[0]
    assert all(readers.opened[shard] is not reader for shard, reader in before.items())


def test_few_shards_are_open_at_a_time(whole, monkeypatch):
    monkeypatch.setattr(shard_files, "MOST_OPEN", 2)
    data = Shards(str(whole)).splits().train
    assert [data[row][1] for row in range(len(data))] == data.targets.tolist()
    assert len(data.readers.opened) == 2


def rewritten(shards: Path, **changes) -> None:
    path = shards / "shards.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def damage(shards: Path, how: str) -> None:
    """Break a set in one way."""
    shard, index = shards / "train-00001.array_record", shards / "index.npz"
    {
        "missing": shard.unlink,
        "short": lambda: os.truncate(shard, 1000),
        "index": lambda: index.write_bytes(index.read_bytes()[:-1] + b"?"),
        "not json": lambda: (shards / "shards.json").write_text("{"),
        "format": lambda: rewritten(shards, format=2),
        "outside": lambda: rewritten(
            shards, index={"name": "../x", "rows": 1, "bytes": 1, "sha256": ""}
        ),
        "no list": (shards / "shards.json").unlink,
    }[how]()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("missing", "train-00001.array_record is not there, though shards.json lists it; copy"),
        ("short", "train-00001.array_record has 1000 bytes, not the [0-9]+ that shards.json lists"),
        ("index", "index.npz is not the one that belongs to the shards; copy the set again"),
        ("not json", "shards.json is not what mixlab wrote; copy the set again, or make it again"),
        ("format", "has format 2, where mixlab reads 1; make the set again with python -m mixlab"),
        ("outside", "names a file outside of its folder, '../x'"),
        ("no list", "is no set of shards, for it has no shards.json; python -m mixlab.data.make"),
    ],
)
def test_a_bad_set_is_a_sentence(shards, how, sentence):
    damage(shards, how)
    with pytest.raises(UserError, match=sentence):
        Shards(str(shards)).splits()


def test_what_is_no_set_is_a_sentence(tmp_path):
    for path, sentence in ((tmp_path / "no", "the folder .* is not there; python -m mixlab.data"),):
        with pytest.raises(UserError, match=sentence):
            Shards(str(path)).splits()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file; set data.path to a folder of shards"):
        Shards(str(tmp_path / "file")).splits()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_flipped_bit_is_a_sentence_with_the_shard(shards, num_workers):
    shard = shards / "train-00001.array_record"
    content = bytearray(shard.read_bytes())
    begins = content.index(b".jpg\0")  # of an image; the rest of a small shard is padding
    content[begins + 60] ^= 1
    shard.write_bytes(content)
    data = module(Shards(str(shards)), num_workers)
    said = r"^[^\n]*train-00001.array_record cannot be read at record .*hash[^\n]*$"
    with pytest.raises(UserError, match=said):
        for epoch in range(3):
            batches(data, epoch)
    data.teardown("fit")
    with pytest.raises(UserError, match="train-00001.array_record has other contents than when"):
        make_shards.check(shards)


def test_an_image_that_does_not_decode_is_named(tmp_path):
    write_folder(tmp_path / "images", 3)
    write_broken(tmp_path / "images" / "dog" / "2.jpg", side=16)
    data = Shards(str(made(tmp_path / "shards", tmp_path / "images"))).splits().train
    with pytest.raises(UserError, match=r"dog/2.jpg in .*array_record, record \d, cannot be deco"):
        [data[row] for row in range(len(data))]
    made(tmp_path / "without", tmp_path / "images", skip_bad=True)
    assert len(Shards(str(tmp_path / "without")).splits().train) == 8


def test_another_set_has_another_hash(images, whole, tmp_path):
    first = module(Shards(str(whole))).fingerprint
    assert first == module(Shards(str(whole))).fingerprint
    shutil.copytree(images, tmp_path / "images")
    write_image(tmp_path / "images" / "cat" / "3.png", 999)
    other = made(tmp_path / "other", tmp_path / "images")
    assert module(Shards(str(other))).fingerprint != first


def test_the_library_is_named_where_it_is_missing(whole, monkeypatch):
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    with pytest.raises(ForUsers, match=r"needs array_record, which is not .* 'mixlab\[shards\]'"):
        Shards(str(whole)).splits()


class Killed(BaseException):
    pass


def test_making_goes_on_where_it_stopped(images, whole, tmp_path, monkeypatch, capsys):
    output, written, rename = tmp_path / "shards", [], os.replace

    def replace(source, target):
        rename(source, target)
        if str(target).endswith(".array_record"):
            written.append(target)
        if len(written) == 3:
            raise Killed

    monkeypatch.setattr(make_shards.os, "replace", replace)
    with pytest.raises(Killed):
        made(output, images)
    monkeypatch.undo()
    (output / "train-00003.array_record.part").write_bytes(b"begun")
    with pytest.raises(UserError, match="are unfinished; repeat the python -m mixlab.data.make_sh"):
        Shards(str(output)).splits()
    with pytest.raises(UserError, match="was begun with other images or options; repeat that com"):
        made(output, images, SMALL // 2)
    capsys.readouterr()
    made(output, images)
    assert "train-00002" not in capsys.readouterr().out
    assert {p.name: p.read_bytes() for p in output.iterdir() if p.suffix == ".array_record"} == {
        p.name: p.read_bytes() for p in whole.iterdir() if p.suffix == ".array_record"
    }
    assert (output / "shards.json").read_bytes() == (whole / "shards.json").read_bytes()


def test_nothing_is_written_over(images, shards, tmp_path):
    with pytest.raises(UserError, match="is a finished set of shards; remove it, or name another"):
        made(shards, images)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(UserError, match="has other files in it; name a new folder"):
        made(tmp_path / "full", images)


def test_a_small_disk_is_noticed_before_anything_is_written(images, tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(make_shards.shutil, "disk_usage", lambda _: free)
    with pytest.raises(UserError, match="needs 0 MB more and its disk has 0; name a folder on a"):
        made(tmp_path / "shards", images)


def test_the_command(images, tmp_path, capsys):
    make_shards.main([str(images), str(tmp_path / "shards"), "--shard-mb", "0.002"])
    assert f"27 images; data=shards data.path={tmp_path}/shards" in capsys.readouterr().out
    make_shards.main(["--check", str(tmp_path / "shards")])
    assert "27 images, every file as it was made" in capsys.readouterr().out
    for words in (["one"], [str(images), str(tmp_path / "x"), "--shard-mb", "0"]):
        with pytest.raises(SystemExit, match="2"):
            make_shards.main(words)
