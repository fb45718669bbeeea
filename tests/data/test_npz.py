import numpy as np
import pytest

from helpers.batches import write_npz
from mixlab.data import ImageDataModule, Npz


def test_a_medmnist_file_as_it_is(tmp_path):
    path = write_npz(tmp_path / "derma.npz")
    data = ImageDataModule(Npz(path))
    assert (data.spec.channels, data.spec.height, data.spec.width) == (1, 28, 28)
    assert data.spec.class_names == ("0", "1", "2")
    rows = [data.record()[f"{part}_rows"] for part in ("train", "val", "test")]
    assert rows == [30, 10, 12]
    assert data.record()["val_split"] == "a set of its own"


def test_colors_lie_in_the_last_axis(tmp_path):
    images = np.arange(30 * 28 * 28 * 3).reshape(30, 28, 28, 3).astype(np.uint8)
    data = Npz(write_npz(tmp_path / "a.npz", train_images=images)).splits().train
    assert data.shape == (3, 28, 28)
    np.testing.assert_array_equal(data.images[7, 2], images[7, :, :, 2])


def test_names_in_the_file_or_given(tmp_path):
    path = write_npz(tmp_path / "a.npz", class_names=np.array(["mole", "wart", "other"]))
    assert Npz(path).splits().test.class_names == ("mole", "wart", "other")
    assert ImageDataModule(Npz(path), class_names=["x", "y", "z"]).spec.class_names[0] == "x"


def test_a_file_without_val_and_test(tmp_path):
    missing = dict.fromkeys(("val_images", "val_labels", "test_images", "test_labels"))
    path = write_npz(tmp_path / "a.npz", **missing)
    data = ImageDataModule(Npz(path), val_size=6)
    assert data.record()["train_rows"] == 24 and data.record()["val_rows"] == 6
    assert not data.has_test and data.test_dataloader() == []


WRONG = {
    "it needs train_images": {"train_images": None},
    "3-D volumes": {"train_images": np.zeros((30, 28, 28, 28), np.uint8)},
    "put the channels last": {"train_images": np.zeros((30, 3, 28, 28), np.uint8)},
    "are float64; they must be uint8": {"train_images": np.zeros((30, 28, 28))},
    "must be N x H x W": {"train_images": np.zeros((30, 784), np.uint8)},
    "have the value 2 in row 0, column 0; 14 columns are several labels a row, each 0 or 1": {
        "train_labels": np.full((30, 14), 2, np.uint8)
    },
    "must be integers": {"train_labels": np.zeros(30)},
    "30 train_images but 29 train_labels": {"train_labels": np.zeros(29, np.uint8)},
}


@pytest.mark.parametrize(("words", "changes"), WRONG.items(), ids=list(WRONG))
def test_files_that_are_refused(tmp_path, words, changes):
    with pytest.raises(ValueError, match=words) as error:
        Npz(write_npz(tmp_path / "bad.npz", **changes)).splits()
    assert "bad.npz" in str(error.value) and "\n" not in str(error.value)


def test_labels_outside_the_classes(tmp_path):
    path = write_npz(tmp_path / "a.npz", test_labels=np.full(12, 3))
    with pytest.raises(ValueError, match="test labels of .*a.npz range from 3 to 3.* 3 classes"):
        ImageDataModule(Npz(path))
    with pytest.raises(ValueError, match="training labels .* there are 2 classes"):
        ImageDataModule(Npz(path), class_names=["a", "b"])
    path = write_npz(tmp_path / "b.npz", train_labels=np.arange(30) - 1)
    with pytest.raises(ValueError, match="range from -1"):
        ImageDataModule(Npz(path))


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match="there is no file .*nothing.npz; set data.path"):
        Npz(tmp_path / "nothing.npz").splits()


@pytest.mark.parametrize("kept", [0, 10, 1000, 20000])
def test_a_truncated_file(tmp_path, kept):
    path = write_npz(tmp_path / "cut.npz")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="cut.npz is damaged or not an .npz file") as error:
        Npz(path).splits()
    assert "\n" not in str(error.value)


def test_something_else_under_that_name(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "object.npz").write_bytes(b"")
    np.savez(tmp_path / "object.npz", train_images=np.array([{}]), train_labels=np.zeros(1, int))
    for name in ("text.npz", "array.npy", "object.npz", "."):
        with pytest.raises(ValueError, match="damaged or not an .npz file"):
            Npz(tmp_path / name).splits()


def test_a_file_damaged_in_its_middle(tmp_path):
    path = write_npz(tmp_path / "flipped.npz")
    content = bytearray(path.read_bytes())
    content[1000:1100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="flipped.npz is damaged"):
        Npz(path).splits()
