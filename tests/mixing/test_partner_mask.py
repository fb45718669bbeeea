"""A pair's mask, kept as the partner's part, is the mask of both that it paints."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mixlab.mixing import Blend
from mixlab.mixing.masks import mean_share
from mixlab.mixing.partner_mask import PartnerMask

PARTNERS = np.array([3, 0, 1, 2])


def mask_of(rows: int, size: tuple[int, ...]) -> PartnerMask:
    return PartnerMask(torch.rand(rows, *size, generator=torch.Generator().manual_seed(0)) ** 2)


@pytest.mark.parametrize("size", [(5, 7), (1, 5, 7), (300, 400), ()])  # the third a row at a time
@pytest.mark.parametrize("rows", [1, 4])
def test_it_mixes_as_what_it_paints(rows: int, size: tuple[int, ...]) -> None:
    images, mask = torch.rand(4, 3, *(size[-2:] or (6, 8))), mask_of(rows, size)
    kept, painted = Blend.pair(PARTNERS, mask), Blend.pair(PARTNERS, mask.paint())
    torch.testing.assert_close(kept.images(images), painted.images(images))
    torch.testing.assert_close(kept.share, painted.share)
    chosen = np.array([True, False, False, True])
    for one, other in zip(
        kept.where(chosen).mix(images, torch.eye(4)),
        painted.where(chosen).mix(images, torch.eye(4)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_zero_leaves_a_row_exactly_and_one_takes_the_partner_exactly() -> None:
    images = torch.rand(4, 3, 8, 8) * 1e3 - 500
    for value, expected in ((0.0, images), (1.0, images[PARTNERS])):
        blend = Blend.pair(PARTNERS, PartnerMask(torch.full((4, 8, 8), value)))
        assert torch.equal(blend.images(images), expected)


def test_the_partner_has_the_second_column() -> None:
    mask = mask_of(4, (6, 6))
    painted: Tensor = mask.paint()
    assert torch.equal(painted[:, 1], mask.partner)
    torch.testing.assert_close(mean_share(mask), mean_share(painted))
