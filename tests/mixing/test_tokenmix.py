"""Masks of patches: as many as were drawn, in blocks, and shares that are their area."""

import numpy as np
import pytest
import torch

from mixlab.errors import UserError
from mixlab.mixing import Mixer, OneOf
from mixlab.mixing.masks import painted
from mixlab.mixing.methods import TokenMix, TransMix
from mixlab.mixing.methods.tokenmix import block_patches


def test_as_many_patches_as_were_drawn() -> None:
    counts = np.arange(0, 197).astype(float)
    patches = block_patches(counts, 14, np.random.default_rng(0))
    assert (patches.sum((1, 2)) == counts).all()


def test_patches_stand_in_blocks() -> None:
    """More neighbors are alike than of patches drawn one by one."""
    patches = block_patches(np.full(300, 98.0), 14, np.random.default_rng(0))
    alike = (patches[:, 1:] == patches[:, :-1]).mean()
    assert alike > 0.75, "0.5 one by one"
    assert 0.4 < patches.mean(0).min() * 2 and patches.mean(0).max() < 0.8, "everywhere"


@pytest.mark.parametrize("size", [(16, 16), (17, 9), (3, 40)])
def test_the_share_is_the_area_of_the_patches(size: tuple[int, int]) -> None:
    images = torch.rand(50, 3, *size)
    blend = TokenMix(1.0, grid=4)(images, torch.eye(50), np.random.default_rng(0))
    mask = painted(blend.mask)
    assert mask.shape == (50, 2, *size)
    torch.testing.assert_close(mask.mean((2, 3)), blend.share)
    if size == (16, 16):
        cells = mask[:, 1].unflatten(1, (4, 4)).unflatten(3, (4, 4))
        assert (cells.amax((2, 4)) == cells.amin((2, 4))).all(), "whole patches"


@pytest.mark.parametrize("method", [TransMix(1.0), TokenMix(1.0)])
def test_without_its_network_a_method_is_refused(method: TransMix | TokenMix) -> None:
    for each in (method, OneOf([method])):
        with pytest.raises(UserError, match=f"use mixlab.callbacks.{method.callback} in"):
            Mixer(each, seed=0)
