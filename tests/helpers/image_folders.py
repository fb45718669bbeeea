"""Small image files for the tests, written as real ones are."""

import csv
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "owl")


def pixels(number: int = 0, *, side: int = 16, channels: int = 3) -> np.ndarray:
    """uint8 (side, side, channels) blocks, other ones for each number."""
    blocks = np.random.default_rng(number).integers(0, 256, (4, 4, channels), np.uint8)
    return blocks.repeat(side // 4, 0).repeat(side // 4, 1)


def write_image(path: Path, number: int = 0, *, side: int = 16) -> Path:
    """A color image in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(number, side=side)).save(path)
    return path


def write_folder(root: Path, rows: int = 6, *, classes: Sequence[str] = CLASSES) -> Path:
    """`rows` images in each class folder, JPEG and PNG in turn."""
    for label, name in enumerate(classes):
        for row in range(rows):
            write_image(root / name / f"{row}.{('jpg', 'png')[row % 2]}", 100 * label + row)
    return root


def write_csv(path: Path, rows: Sequence[Sequence[Any]], header: Sequence[str] = ()) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header or ("image", "label"), *rows])
    return path


def write_png16(path: Path, *, side: int = 4, color: bool = False) -> Path:
    """A 16-bit PNG file, chunk by chunk: PIL writes none in color."""
    row = b"\0" + b"\x80\x12" * (side * (3 if color else 1))
    header = struct.pack(">IIBBBBB", side, side, 16, 2 if color else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * side)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def write_broken(path: Path, *, side: int = 64) -> Path:
    """Noise of which the end is missing, as after an interrupted copy; the header is whole."""
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: -side * side // 4])
    return path
