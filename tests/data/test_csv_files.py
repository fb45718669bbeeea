import numpy as np
import pytest
import torch

from helpers.image_folders import CLASSES, write_broken, write_csv, write_folder
from mixlab.data import Csv, Folder, ImageDataModule

ROWS = [(f"{name}/{row}.{('jpg', 'png')[row % 2]}", name) for row in range(4) for name in CLASSES]


@pytest.fixture
def labels(tmp_path):
    """A CSV file of 12 rows, the classes in turn, beside its images."""
    write_folder(tmp_path, 4)
    return write_csv(tmp_path / "labels.csv", ROWS)


def changed(path, row, *, image=None, label=None):
    """The same file with another value in one row."""
    rows = [list(values) for values in ROWS]
    rows[row] = [ROWS[row][0] if image is None else image, ROWS[row][1] if label is None else label]
    return write_csv(path, rows)


def names(data):
    return [entry.name for entry in data.entries]


def test_rows_are_in_the_order_of_the_file(labels):
    data, val, test = Csv(labels).splits()
    assert data.classes == CLASSES and data.targets.tolist() == [0, 1, 2] * 4
    assert names(data) == [name for name, _ in ROWS]
    by_folder = Folder(labels.parent).splits().train
    row = names(by_folder).index(ROWS[4][0])
    assert torch.equal(data[4][0], by_folder[row][0])
    assert val is None and test is None


def test_the_first_rows_train_and_the_rest_validate(labels):
    data = ImageDataModule(Csv(labels), val_size=3, val_split="last", shuffle=False, batch_size=9)
    assert data.parts.train.rows.tolist() == list(range(9))
    assert data.parts.val.rows.tolist() == [9, 10, 11]
    assert next(iter(data.train_dataloader())).targets.tolist() == [0, 1, 2] * 3
    assert data.record()["val_split"].startswith("last rows")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_other_columns_and_other_names(labels, separator):
    lines = [separator.join(("mask", "file ", "kind"))]
    lines += [separator.join(("m.png", name, str(CLASSES.index(kind)))) for name, kind in ROWS]
    labels.write_text("\ufeff" + "\n".join(lines))  # as spreadsheets write it
    data = Csv(labels, image_column="file", label_column="kind").splits().train
    assert data.classes == ("0", "1", "2") and data.targets.tolist() == [0, 1, 2] * 4
    named, *_ = Csv(labels, image_column="file", label_column="kind", class_names=CLASSES).splits()
    assert named.classes == CLASSES and named.targets.tolist() == [0, 1, 2] * 4


def test_names_of_the_classes_give_their_order(labels):
    data = Csv(labels, class_names=["owl", "cat", "dog", "yak"]).splits().train
    assert data.targets.tolist() == [1, 2, 0] * 4 and len(data.classes) == 4
    with pytest.raises(ValueError, match="row 3 .line 4., column label: 'owl' is not.* mean owls"):
        Csv(labels, class_names=["cat", "dog", "owls"]).splits()


def test_a_column_may_say_the_split(labels):
    splits = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    rows = [(*row, split) for row, split in zip(ROWS, splits, strict=True)]
    write_csv(labels, rows, ("image", "label", "split"))
    assert [len(found) for found in Csv(labels).splits()] == [6, 3, 3]
    assert len(Csv(labels, split_column=None).splits().train) == 12
    with pytest.raises(ValueError, match="so data.test_size must be 0"):
        Csv(labels, test_size=0.5).splits()
    rows[6] = (ROWS[6][0], "yak", "val")
    write_csv(labels, rows, ("image", "label", "split"))
    with pytest.raises(ValueError, match="row 7 .* no row to train on has the label yak"):
        Csv(labels).splits()
    rows[6] = (*ROWS[6], "fold 1")
    write_csv(labels, rows, ("image", "label", "split"))
    with pytest.raises(ValueError, match="'fold 1' is none of train, val, test.*split_column=null"):
        Csv(labels).splits()


def test_held_out_rows(labels):
    train, _, test = Csv(labels, test_size=0.25).splits()
    assert np.bincount(test.targets).tolist() == [1, 1, 1] and len(train) == 9
    assert not {*names(train)} & {*names(test)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"image": "cat/9.jpg"}, "column image: .*cat/9.jpg is not there; fix or remove it"),
        ({"image": "../cat/0.jpg"}, "column image: '../cat/0.jpg' .* leads outside"),
        ({"image": "/etc/hosts"}, "column image: '/etc/hosts' .* is absolute; write it relative"),
        ({"image": "labels.csv"}, "column image: .*labels.csv is not a JPEG or PNG image"),
        ({"image": "cat"}, "column image: .*cat cannot be read"),
        ({"image": ""}, "column image: there is no value; fill it in"),
        (
            {"label": ""},
            "column label: there is no value; .* set 'data.label_separator=\";\"'$",
        ),
    ],
)
def test_a_bad_row_is_named(labels, change, sentence):
    changed(labels, 4, **change)
    with pytest.raises(ValueError, match=rf"labels.csv, row 5 \(line 6\), {sentence}") as error:
        Csv(labels).splits()
    assert "\n" not in str(error.value)


def test_a_link_that_leads_outside(labels, tmp_path):
    (tmp_path / "cat" / "0.jpg").unlink()
    (tmp_path / "cat" / "0.jpg").symlink_to("/etc/hosts")
    with pytest.raises(ValueError, match="row 1 .*cat/0.jpg' .* leads outside"):
        Csv(labels).splits()


@pytest.mark.parametrize("numbers", [(0, 1, 2), (1, 2, 3), (0, 1, 3), (5000, 7, 10)])
def test_numbers_are_classes_in_their_order_whatever_they_start_at(labels, numbers):
    rows = [(name, numbers[row % 3]) for row, (name, _) in enumerate(ROWS)]
    data = Csv(write_csv(labels, rows)).splits().train
    assert data.classes == tuple(str(number) for number in sorted(numbers))
    assert [int(data.classes[label]) for label in data.targets] == [number for _, number in rows]


def test_numbers_that_are_no_classes(labels):
    rows = [(name, number) for (name, _), number in zip(ROWS[:3], (0, 1, -1), strict=True)]
    with pytest.raises(ValueError, match="-1 is below 0"):
        Csv(write_csv(labels, rows)).splits()
    rows = [(name, number) for (name, _), number in zip(ROWS[:3], (0, 2, 1), strict=True)]
    with pytest.raises(ValueError, match="row 2 .* 2 is not below 2, the number of names"):
        Csv(write_csv(labels, rows), class_names=["a", "b"]).splits()


def test_as_spreadsheets_write_it(labels):
    (labels.parent / "cat" / "0,1.jpg").write_bytes((labels.parent / "cat/0.jpg").read_bytes())
    lines = ["IMAGE,Label,Split", '"cat/0,1.jpg",cat,train', *(f"{n},{c},train" for n, c in ROWS)]
    blank = ["", ",,", "   ", ",,,,"]
    labels.write_bytes("\r\n".join(["\ufeff" + lines[0], *lines[1:], *blank, ""]).encode())
    data = Csv(labels).splits().train
    assert names(data) == ["cat/0,1.jpg", *(name for name, _ in ROWS)]
    assert data.classes == CLASSES and data.targets.tolist() == [0, *[0, 1, 2] * 4]
    labels.write_bytes(labels.read_bytes().replace(b"dog,train", b"dog,trian"))
    with pytest.raises(ValueError, match="row 3 .* column split: 'trian' is none of"):
        Csv(labels).splits()


def test_columns_that_differ_in_case_alone_are_not_guessed(labels):
    write_csv(labels, [(name, kind, kind) for name, kind in ROWS], ("image", "LABEL", "Label"))
    with pytest.raises(ValueError, match="no column label, but image, LABEL, Label"):
        Csv(labels).splits()
    assert Csv(labels, label_column="Label").splits().train.classes == CLASSES


def test_an_image_in_two_splits_is_told_of(labels, capsys):
    rows = [(name, kind, "train") for name, kind in ROWS]
    write_csv(labels, [*rows, (f"./{ROWS[3][0]}", "cat", "test")], ("image", "label", "split"))
    Csv(labels).splits()
    said = capsys.readouterr().out
    assert f"1 of 12 images are in two splits, the first {ROWS[3][0]} in train and test" in said
    write_csv(labels, [*rows, rows[0]], ("image", "label", "split"))
    Csv(labels).splits()
    assert capsys.readouterr().out == "", "once is enough, and within a split it is only weight"


def test_a_missing_column_names_the_nearest(labels):
    with pytest.raises(
        ValueError, match="no column lable, but image, label; did you mean .*=label"
    ):
        Csv(labels, label_column="lable").splits()
    with pytest.raises(ValueError, match="no column fold, but image, label; set data.split_column"):
        Csv(labels, split_column="fold").splits()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "has no rows"),
        (b"image,label\n", "has no rows"),
        (b"image,label\n\xff\xfe,1\n", "is not a readable CSV file"),
        (None, "is not a readable CSV file .No such file"),
    ],
)
def test_what_is_no_table(tmp_path, content, sentence):
    path = tmp_path / "labels.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"labels.csv {sentence}"):
        Csv(path).splits()


def test_skipping(labels, capsys):
    changed(labels, 4, image="cat/9.jpg")
    write_broken(labels.parent / ROWS[7][0])
    data = Csv(labels, on_error="skip", image_size=8).splits().train
    assert names(data) == [name for row, (name, _) in enumerate(ROWS) if row not in (4, 7)]
    assert data.skipped == 2
    assert "row 5 (line 6), column image" in capsys.readouterr().out


def test_a_broken_body_names_row_and_file(labels):
    write_broken(labels.parent / ROWS[7][0])
    with pytest.raises(ValueError, match=r"row 8 \(line 9\), column image: .* cannot be decoded"):
        Csv(labels, image_size=8).splits().train[7]


def test_a_file_sorted_by_class_cannot_be_cut_at_its_end(labels):
    data = Csv(write_csv(labels, sorted(ROWS, key=lambda row: row[1])))
    with pytest.raises(ValueError, match="val_split=last leaves no row to train on class owl"):
        ImageDataModule(data, val_size=4, val_split="last")
    assert len(ImageDataModule(data, val_size=3).parts.val) == 3


def test_quotes_and_line_breaks_keep_the_line_numbers(labels):
    labels.write_text('image,label,remark\ncat/0.jpg,cat,"two\nlines"\ncat/9.jpg,cat,\n')
    with pytest.raises(ValueError, match=r"row 2 \(line 4\)"):
        Csv(labels).splits()
