import numpy as np
import pytest
import torch

from mixlab.data import FlipCrop
from mixlab.data.augmentation.flip_crop import crop, flip_rows


def one_by_one(images, mirrored, top, left, padding):
    """What `crop` does, an image at a time."""
    rows = []
    for image, mirror, y, x in zip(images, mirrored, top, left, strict=True):
        padded = torch.nn.functional.pad(image, [padding] * 4)
        window = padded[:, y : y + image.shape[1], x : x + image.shape[2]]
        rows.append(window.flip(-1) if mirror else window)
    return torch.stack(rows)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (5, 3, 8, 12), (16, 1, 28, 28)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_batch_at_once_equals_one_by_one(shape, dtype):
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(1, 256, shape)).to(dtype)
    before = images.clone()
    mirrored = rng.random(shape[0]) < 0.5
    top, left = rng.integers(0, 9, (2, shape[0]))
    expected = one_by_one(images, mirrored, top, left, 4)
    torch.testing.assert_close(crop(images, mirrored, top, left, padding=4), expected)
    flipped = one_by_one(images, mirrored, top * 0, left * 0, 0)
    torch.testing.assert_close(flip_rows(images, mirrored), flipped)
    torch.testing.assert_close(images, before)


def test_half_are_mirrored_and_every_offset_is_drawn_equally_often():
    ramp = torch.arange(1, 31.0).expand(4000, 1, 30, 30)
    seen = FlipCrop(flip=True, crop_padding=2)(ramp, np.random.default_rng(0))
    middle = seen[:, 0, 15, 14:16]
    mirrored = middle[:, 0] > middle[:, 1]
    assert 0.47 < mirrored.float().mean() < 0.53
    columns, counts = middle[~mirrored, 0].unique(return_counts=True)
    assert columns.tolist() == [13, 14, 15, 16, 17]
    assert (counts / counts.sum() - 0.2).abs().max() < 0.04


def test_flip_and_crop_alone():
    images = torch.arange(1, 10).view(1, 1, 3, 3).expand(50, 1, 3, 3).contiguous()
    flips = FlipCrop(flip=True, crop_padding=0)(images, np.random.default_rng(1))
    assert {tuple(row.flatten().tolist()) for row in flips} == {
        (1, 2, 3, 4, 5, 6, 7, 8, 9),
        (3, 2, 1, 6, 5, 4, 9, 8, 7),
    }
    crops = FlipCrop(flip=False, crop_padding=1)(images, np.random.default_rng(1))
    assert len({tuple(row.flatten().tolist()) for row in crops}) == 9
    nothing = FlipCrop(flip=False, crop_padding=0)(images, np.random.default_rng(1))
    torch.testing.assert_close(nothing, images)


def test_auto_does_what_the_data_allow():
    automatic = FlipCrop("auto", "auto")
    assert automatic.allowed(["crop"], "digits") == FlipCrop(False, 4)
    assert automatic.allowed(["flip", "crop"], "cifar10") == FlipCrop(True, 4)
    assert automatic.allowed([], "x") == FlipCrop(False, 0)


def test_what_may_change_a_label_is_refused_unless_forced():
    with pytest.raises(ValueError, match="flip, which may change the label .* of digits"):
        FlipCrop(True, 0).allowed(["crop"], "digits")
    with pytest.raises(ValueError, match="crop, which may change .*augmentation.force=true"):
        FlipCrop(False, 1).allowed(["flip"], "digits")
    assert FlipCrop(True, 4, force=True).allowed([], "digits") == FlipCrop(True, 4, force=True)


@pytest.mark.parametrize(
    "options",
    [{"flip": "yes"}, {"flip": None}, {"crop_padding": -1}, {"crop_padding": 1.5},
     {"crop_padding": "4"}, {"crop_padding": None}, {"crop_padding": True}],
)  # fmt: skip
def test_options_that_make_no_sense(options):
    with pytest.raises(ValueError, match="augmentation."):
        FlipCrop(**options)
