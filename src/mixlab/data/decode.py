"""One image file, JPEG or PNG: its header and its pixels.

The result always has 8 bits per channel, gray or color. Palettes, CMYK, and gray or color where the
other is wanted are converted; an alpha channel is blended with white; the orientation that a camera
recorded (EXIF) is applied. Images with 16 bits, whose range no conversion can guess, and images
less than two pixels high or wide are refused.

JPEG is decoded by torchvision, in half of PIL's time, or by PIL if torchvision has no decoder any
more (0.29 announces a move to torchcodec). PNG is decoded by PIL, because torchvision mixes up the
channels of a palette when asked for an alpha channel.
"""

import io

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision import io as torchvision
from torchvision.transforms.v2 import functional as transform

from mixlab.data.map_style import BadItem

PNG = b"\x89PNG\r\n\x1a\n"
BIT_DEPTH = 24  # position in a PNG file of the bits per channel
READ_MODES = {1: "GRAY", 3: "RGB"}  # by the number of channels, as torchvision calls them
PIL_MODES = {1: "L", 3: "RGB"}
SKIP_REMEDY = "fix or remove it, or leave out such images with data.on_error=skip"
UNREADABLE_IMAGE = (OSError, SyntaxError, EOFError, RuntimeError)  # raised by PIL and torchvision


def bad(path: str, what: str) -> BadItem:
    """The error for an image that cannot be used."""
    return BadItem(f"{path} {what}; {SKIP_REMEDY}")


def read_header(path: str) -> tuple[int, int]:
    """Height and width in pixels as stored; takes about 50 microseconds.

    Raises:
        BadItem: naming the file, if it does not start like an image that `decode` reads.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(BIT_DEPTH + 1)
            file.seek(0)
            with Image.open(file, formats=("JPEG", "PNG")) as image:
                width, height = image.size
    except FileNotFoundError:
        raise bad(path, "is not there") from None
    except Image.UnidentifiedImageError:
        raise bad(path, "is not a JPEG or PNG image" if start else "is empty") from None
    except Image.DecompressionBombError:
        raise bad(path, "has too many pixels") from None
    except UNREADABLE_IMAGE as error:
        raise bad(path, f"cannot be read ({decode_error(error)})") from None
    if start.startswith(PNG) and start[BIT_DEPTH] == 16:
        raise bad(path, "has 16 bits a channel, where mixlab reads 8")
    if min(height, width) < 2:
        raise bad(path, f"has {width} x {height} pixels, too few for a picture")
    return height, width


def decode(path: str, *, channels: int = 3, image_size: int | None = None) -> Tensor:
    """The pixels of an image file with a valid header.

    Args:
        path: of the file.
        channels: 3 for RGB, 1 for gray.
        image_size: side in pixels to resize to, bilinear and antialiased; None leaves the size.

    Returns:
        uint8 (channels, H, W).

    Raises:
        BadItem: naming the file, if it cannot be decoded.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
        image = pixels_of(data, channels)
    except FileNotFoundError:
        raise bad(path, "is not there") from None
    except UNREADABLE_IMAGE as error:
        raise bad(path, f"cannot be decoded ({decode_error(error)})") from None
    if image_size is None or image.shape[1:] == (image_size, image_size):
        return image
    return transform.resize(image, [image_size, image_size], antialias=True)


def pixels_of(data: bytes, channels: int) -> Tensor:
    """uint8 (channels, H, W) of a JPEG or PNG file; an UNREADABLE_IMAGE error if that fails."""
    fast = hasattr(torchvision, "decode_jpeg") and not data.startswith(PNG)
    return (by_torchvision if fast else by_pil)(data, channels)


def by_torchvision(data: bytes, channels: int) -> Tensor:
    """uint8 (channels, H, W) of a JPEG file."""
    encoded = torch.from_numpy(np.frombuffer(bytearray(data), np.uint8))
    mode = torchvision.ImageReadMode[READ_MODES[channels]]
    decoded = torchvision.decode_jpeg(encoded, mode=mode, apply_exif_orientation=True)
    assert isinstance(decoded, Tensor)
    return decoded


def by_pil(data: bytes, channels: int) -> Tensor:
    """uint8 (channels, H, W) of a JPEG or PNG file."""
    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as file:
        file.draft(PIL_MODES[channels], file.size)  # uses the gray that a JPEG file stores
        image = ImageOps.exif_transpose(file)
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        pixels = torch.from_numpy(np.array(image.convert(PIL_MODES[channels])))
    return pixels.view(*pixels.shape[:2], channels).permute(2, 0, 1).contiguous()


def decode_error(error: BaseException) -> str:
    """A decoder's message without the place in its source code."""
    line = (getattr(error, "strerror", None) or str(error)).partition("\n")[0]
    return line.rsplit(", ", 1)[-1].rstrip(". ") or type(error).__name__
