import numpy as np
import pytest
import torch
from PIL import Image

from helpers.image_folders import pixels, write_broken, write_image, write_png16
from mixlab.data.decode import decode, read_header
from mixlab.data.map_style import BadItem


def by_pil(path, mode="RGB"):
    image = Image.open(path)
    image.draft(mode, image.size)  # gray of a JPEG file is its luminance, as it is stored
    array = np.array(image.convert(mode))
    return torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_color_and_gray_become_what_is_asked_for(tmp_path, suffix, mode):
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(pixels()).convert(mode).save(path)
    assert read_header(str(path)) == (16, 16)
    assert torch.equal(decode(str(path)), by_pil(path))
    gray = decode(str(path), channels=1)
    assert gray.shape == (1, 16, 16) and gray.dtype == torch.uint8
    assert (gray.int() - by_pil(path, "L").int()).abs().max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_without_torchvisions_decoder(tmp_path, monkeypatch, channels):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by the camera
    path = str(tmp_path / "x.jpg")
    Image.fromarray(pixels()[:, :12]).save(path, exif=exif)
    before = decode(path, channels=channels)
    monkeypatch.delattr("torchvision.io.decode_jpeg")
    found = decode(path, channels=channels)
    assert found.shape == before.shape == (channels, 12, 16)
    assert (found.int() - before.int()).abs().max() <= 1
    write_broken(tmp_path / "y.png").rename(tmp_path / "y.jpg")
    with pytest.raises(BadItem, match="cannot be decoded"):
        decode(str(tmp_path / "y.jpg"))


def test_cmyk_is_converted_as_pil_does(tmp_path):
    Image.fromarray(pixels()).convert("CMYK").save(tmp_path / "x.jpg")
    assert torch.equal(decode(str(tmp_path / "x.jpg")), by_pil(tmp_path / "x.jpg"))


@pytest.mark.parametrize("mode", ["1", "P"])
def test_palettes_and_bits_are_converted(tmp_path, mode):
    Image.fromarray(pixels()).convert(mode).save(tmp_path / "x.png")
    assert torch.equal(decode(str(tmp_path / "x.png")), by_pil(tmp_path / "x.png"))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_alpha_channel_is_laid_on_white(tmp_path, channels):
    colors, alpha = pixels(), np.full((16, 16, 1), 255, np.uint8)
    alpha[:8] = 0
    path = tmp_path / "x.png"
    image = Image.fromarray(np.concatenate([colors, alpha], 2))
    image.convert("RGBA" if channels == 3 else "LA").save(path)
    found = decode(str(path), channels=channels)
    assert (found[:, :8] == 255).all()
    Image.fromarray(colors).save(path)
    difference = found[:, 8:].int() - decode(str(path), channels=channels)[:, 8:].int()
    assert difference.abs().max() <= 1


def test_half_opaque_is_half_white(tmp_path):
    Image.new("RGBA", (4, 4), (0, 100, 255, 51)).save(tmp_path / "x.png")
    assert decode(str(tmp_path / "x.png"))[:, 0, 0].tolist() == [204, 224, 255]


def test_a_transparent_color_of_a_palette_is_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 1)
    image.save(tmp_path / "x.png", transparency=0)
    found = decode(str(tmp_path / "x.png"))
    assert found[:, 0, 0].tolist() == [40, 50, 60] and (found[:, 1:] == 255).all()


def test_the_orientation_of_the_camera_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6  # turned by a quarter
    image = Image.fromarray(pixels()[:8])
    image.save(tmp_path / "turned.jpg", exif=exif)
    image.save(tmp_path / "plain.jpg")
    turned, plain = (decode(str(tmp_path / f"{name}.jpg")) for name in ("turned", "plain"))
    assert turned.shape == (3, 16, 8) and torch.equal(turned, plain.rot90(-1, (1, 2)))


def test_resizing(tmp_path):
    path = str(write_image(tmp_path / "x.png", side=16))
    assert torch.equal(decode(path, image_size=16), decode(path))
    small = decode(path, image_size=4)
    assert small.shape == (3, 4, 4) and small.dtype == torch.uint8
    Image.new("RGB", (20, 8), (1, 2, 3)).save(path)
    assert decode(path, image_size=5).flatten(1).unique(dim=1).flatten().tolist() == [1, 2, 3]


@pytest.mark.parametrize("color", [True, False])
def test_sixteen_bits_are_refused(tmp_path, color):
    path = str(write_png16(tmp_path / "deep.png", color=color))
    with pytest.raises(BadItem, match="deep.png has 16 bits a channel"):
        read_header(path)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_one_pixel_is_no_picture(tmp_path, shape):
    Image.new("RGB", shape).save(tmp_path / "dot.png")
    with pytest.raises(BadItem, match="dot.png has . x . pixels, too few"):
        read_header(str(tmp_path / "dot.png"))


def test_what_is_no_image_is_refused_by_its_first_bytes(tmp_path):
    path = tmp_path / "x.jpg"
    for write, what in (
        (lambda: path.write_text("no image at all"), "x.jpg is not a JPEG or PNG image"),
        (lambda: path.write_bytes(b""), "x.jpg is empty"),
        (lambda: Image.fromarray(pixels()).save(path, "GIF"), "x.jpg is not a JPEG or PNG image"),
        (lambda: path.unlink(), "x.jpg is not there"),
    ):
        write()
        with pytest.raises(BadItem, match=what) as error:
            read_header(str(path))
        assert "data.on_error=skip" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_broken_body_has_a_whole_header(tmp_path, suffix):
    path = str(write_broken(tmp_path / f"x.{suffix}"))
    assert read_header(path) == (64, 64)
    with pytest.raises(BadItem, match=f"x.{suffix} cannot be decoded \\([^/]+\\)") as error:
        decode(path)
    assert "\n" not in str(error.value)


def test_a_file_that_went_away(tmp_path):
    with pytest.raises(BadItem, match="x.jpg is not there"):
        decode(str(tmp_path / "x.jpg"))
