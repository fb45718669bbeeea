"""A user's own picture files as a batch, whatever their format, mode and size."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from mixlab.errors import UserError

DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # gray in 16 bits, or what Pillow makes of it


def read_pictures(files: Sequence[str]) -> Tensor:
    """Pictures as float32 (N, 3, H, W) in [0, 1], of the first one's size.

    Others are cut to its aspect ratio around their middle, then resized.

    Raises:
        ValueError: a file is missing or cannot be read as a picture.
    """
    pictures = [read_picture(Path(file).expanduser()) for file in files]
    fitted = [
        picture if picture.size == pictures[0].size else ImageOps.fit(picture, pictures[0].size)
        for picture in pictures
    ]
    pixels = np.stack([np.asarray(picture) for picture in fitted])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255)


def read_picture(file: Path) -> Image.Image:
    """One picture in RGB, turned as its camera says."""
    if not file.is_file():
        raise UserError(f"images: there is no file {file}; give paths relative to {Path.cwd()}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata; only the pixels matter
            with Image.open(file) as picture:
                picture.load()
                return to_rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        raise UserError(f"images: {file} is not a picture; give a JPEG or PNG file") from None
    except (OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"images: {file} cannot be read ({error}); save it again") from None


def to_rgb(picture: Image.Image) -> Image.Image:
    """Eight bits a channel, on white where it is transparent."""
    if picture.mode in DEEP:
        levels = np.asarray(picture).astype(np.float64) / 257
        return Image.fromarray(levels.clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear).convert("RGB")
    return picture.convert("RGB")


def names_of(files: Sequence[str]) -> list[str]:
    """Names of files for captions: their stems, or their paths where two stems are equal."""
    stems = [Path(file).stem for file in files]
    return stems if len(set(stems)) == len(set(files)) else list(files)
