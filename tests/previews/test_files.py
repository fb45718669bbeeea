"""Picture files of any kind become one batch of RGB in [0, 1]."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mixlab.previews.files import names_of, read_pictures


def save(picture: Image.Image, path: Path, **options: object) -> str:
    picture.save(path, **options)
    return str(path)


def center(file: str) -> list[float]:
    images = read_pictures([file])
    assert images.dtype == torch.float32 and images.shape[:2] == (1, 3)
    return images[0, :, images.shape[2] // 2, images.shape[3] // 2].tolist()


@pytest.mark.parametrize(
    ("mode", "color", "suffix", "expected"),
    [
        ("RGB", (255, 0, 51), "png", (1, 0, 0.2)),
        ("L", 51, "png", (0.2, 0.2, 0.2)),
        ("1", 1, "png", (1, 1, 1)),
        ("LA", (0, 204), "png", (0.2, 0.2, 0.2)),
        ("RGBA", (255, 0, 0, 0), "png", (1, 1, 1)),
        ("RGBA", (255, 0, 0, 204), "png", (1, 0.2, 0.2)),
        ("CMYK", (0, 255, 255, 0), "tiff", (1, 0, 0)),
        ("I;16", 51 * 257, "png", (0.2, 0.2, 0.2)),
        ("I", 51 * 257, "tiff", (0.2, 0.2, 0.2)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, mode, color, suffix, expected) -> None:
    file = save(Image.new(mode, (8, 6), color), tmp_path / f"a.{suffix}")
    assert center(file) == pytest.approx(expected, abs=0.005)


def test_a_palette_with_a_transparent_color(tmp_path: Path) -> None:
    palette = Image.new("RGB", (8, 6), (255, 0, 0)).quantize()
    file = save(palette, tmp_path / "a.png", transparency=palette.getpixel((0, 0)))
    assert center(file) == [1, 1, 1]


def test_others_are_cut_and_resized_to_the_first(tmp_path: Path) -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = 255  # all that is left of it in a square
    square = save(Image.new("RGB", (20, 20)), tmp_path / "square.png")
    images = read_pictures([square, save(Image.fromarray(wide), tmp_path / "wide.png")])
    assert images.shape == (2, 3, 20, 20)
    assert images[1].mean() > 0.95 and images[0].max() == 0


def test_turned_as_the_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    file = save(Image.new("RGB", (8, 4)), tmp_path / "a.jpg", exif=exif)
    assert read_pictures([file]).shape == (1, 3, 8, 4)


def test_files_that_are_not_there_or_no_pictures(tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    save(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)), whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "text.png").write_text("no picture")
    for name, sentence in {
        "gone.png": r"images: there is no file .*gone\.png; give paths relative to",
        "text.png": r"text\.png is not a picture; give a JPEG or PNG file",
        "cut.png": r"cut\.png cannot be read \(.*\); save it again",
        "": r"images: there is no file",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            read_pictures([str(whole), str(tmp_path / name)])


def test_names_tell_pictures_apart() -> None:
    assert names_of(["x/cat.jpg", "dog.png"]) == ["cat", "dog"]
    assert names_of(["x/cat.jpg", "y/cat.jpg"]) == ["x/cat.jpg", "y/cat.jpg"]
    assert names_of(["cat.jpg", "cat.jpg"]) == ["cat", "cat"]
