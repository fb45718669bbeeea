"""Resizing between lines, then within them, is what `F.interpolate` does at once."""

import pytest
import torch
import torch.nn.functional as F

from mixlab.mixing.resizing import lines_of, resized

SIZES = [(17, 9), (9, 17), (31, 40), (1, 1), (20, 1), (1, 33), (16, 24)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_what_interpolate_does(size: tuple[int, int], dtype: torch.dtype) -> None:
    images = torch.rand(3, 2, 16, 24, dtype=dtype)
    expected = F.interpolate(images, size, mode="bilinear", align_corners=False)
    exact = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    for lines, each in zip(lines_of(images), expected, strict=True):
        view = resized(lines, 16, size)
        assert view.dtype == dtype
        torch.testing.assert_close(view, each, rtol=0, atol=exact)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lines_have_32_bits_at_least(dtype: torch.dtype) -> None:
    images = torch.rand(2, 3, 4, 5, 6).to(dtype)
    assert torch.equal(lines_of(images), images.float().view(2, 60, 6))


def test_lines_are_those_of_the_picture_whatever_its_layout() -> None:
    images = torch.rand(2, 3, 5, 7)
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(lines_of(last), lines_of(images))
