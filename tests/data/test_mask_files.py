"""Masks that a CSV file names: read, resized, and refused by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixlab.data import Csv, ImageDataModule
from mixlab.data.image_files import ImageFiles
from mixlab.data.map_style import BadItem, ItemDataset

NAMES = ["ground", "leaf"]


def save(path: Path, values: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8), mode).save(path)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Six pictures that are white where their mask is 255."""
    lines = ["image,mask,mask_path"]
    for row in range(6):
        mask = np.zeros((12, 10))
        mask[: row + 2, 3:] = 255
        save(tmp_path / f"photos/{row}.png", np.repeat(mask[..., None], 3, axis=2))
        save(tmp_path / f"masks/{row}.png", mask)
        lines.append(f"photos/{row}.png,masks/{row}.png,masks")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    return tmp_path / "table.csv"


def read(table: Path, column: str = "mask", **options) -> ImageFiles:
    options = {"class_names": NAMES, "mask_values": [0, 255], **options}
    return Csv(str(table), mask_column=column, **options).splits().train


@pytest.mark.parametrize("column", ["mask", "mask_path"])
@pytest.mark.parametrize("image_size", [None, 8])
def test_masks_show_what_their_pictures_show(table: Path, column: str, image_size: int | None):
    data = read(table, column, image_size=image_size)
    assert len(data) == 6 and data.targets is None
    for row in range(6):
        image, mask = data[row]
        assert mask.dtype == torch.uint8 and mask.shape == image.shape[1:]
        if image_size is None:
            assert torch.equal(image[0], mask * 255)


def test_a_palette_counts_by_its_numbers(table: Path):
    image = Image.fromarray(np.eye(12, 10).astype(np.uint8))
    image.putpalette([9, 9, 9, 200, 0, 0] + [0] * 762)
    image.save(table.parent / "masks/0.png")
    data = read(table, mask_values=None)
    assert torch.equal(data[0][1], torch.eye(12, 10, dtype=torch.uint8))


def test_batches_of_a_data_module_are_planes_and_class_maps(table: Path):
    data = ImageDataModule(read(table), val_size=2, batch_size=4, image_size=None)
    assert data.has_masks and data.spec.class_names == tuple(NAMES)
    batch = next(iter(data.train_dataloader()))
    assert data.prepare(batch, batch.address).targets.shape == (4, 2, 12, 10)
    held_out = next(iter(data.val_dataloader()))
    assert data.on_after_batch_transfer(held_out, 0).targets.dtype == torch.int64


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("masks/3.png", np.zeros((5, 10)), r"row 4 .*masks/3.png is a mask of 10 x 5 .*10 x 12"),
        ("masks/3.png", None, r"row 4 .*masks/3.png is not there"),
    ],
)
def test_what_headers_show_is_refused_at_once(table: Path, name: str, values, said: str):
    (table.parent / name).unlink()
    if values is not None:
        save(table.parent / name, values)
    with pytest.raises(ValueError, match=said):
        read(table)
    left = read(table, on_error="skip")
    assert len(left) == 5 and left.skipped == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full((12, 10), 7), "row 4 .*has the value 7, which is no class"),
        (np.zeros((12, 10, 3)), "row 4 .*is a mask in mode RGB; masks are gray"),
    ],
)
def test_what_pixels_show_is_refused_when_they_are_read(table: Path, values, said: str):
    save(table.parent / "masks/3.png", values)
    with pytest.raises(BadItem, match=said):
        next(ItemDataset(read(table)).batches([(None, np.array([3]))]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"class_names": None}, "name them, as in data.class_names"),
        ({"mask_values": [0, 0]}, "2 different pixel values"),
        ({"mask_values": [0, 256]}, "2 different pixel values"),
        ({"mask_values": [0, 1, 2]}, "2 different pixel values"),
        ({"column": "masc"}, "did you mean data.mask_column=mask"),
    ],
)
def test_options_that_cannot_be(table: Path, options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        read(table, **options)


def test_masks_may_not_lie_elsewhere(table: Path):
    table.write_text("image,mask\nphotos/0.png,../masks/0.png")
    with pytest.raises(ValueError, match="leads outside"):
        read(table)
