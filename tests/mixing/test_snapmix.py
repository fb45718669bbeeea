"""SnapMix: one box into another, weighed by what the maps have in them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mixlab.mixing import Boxes, CutMix, SnapMix
from mixlab.mixing.methods.snapmix import into

PARTNERS = np.array([1, 2, 3, 0])
side = st.tuples(st.integers(0, 9), st.integers(1, 10)).map(lambda pair: (pair[0], sum(pair)))


def brightness(images: Tensor, targets: Tensor) -> Tensor:
    maps = images.mean(1)
    return maps / maps.sum((1, 2), keepdim=True)


@given(to=st.tuples(side, side), of=st.tuples(side, side))
def test_a_warp_shows_one_box_in_another(to: tuple, of: tuple) -> None:
    """A ramp in the box is the ramp of the other box, at the centers of its pixels."""
    boxes = [torch.tensor([[*each[0], *each[1]]]) for each in (to, of)]
    warp = into(*boxes, 20, 24)
    ramp = torch.stack(torch.meshgrid(torch.arange(20.0), torch.arange(24.0), indexing="ij"))[None]
    grid = F.affine_grid(warp, [1, 2, 20, 24], align_corners=False)
    view = F.grid_sample(ramp, grid, padding_mode="border", align_corners=False)
    for axis, (start, end) in enumerate(to):
        low, high = of[axis]
        length = (20, 24)[axis]
        expected = low - 0.5 + (torch.arange(end - start) + 0.5) * (high - low) / (end - start)
        found = view[0, axis, to[0][0] : to[0][1], to[1][0] : to[1][1]]
        found = found.mean(1 - axis)
        torch.testing.assert_close(found, expected.clamp(0, length - 1), rtol=0, atol=1e-3)


@pytest.mark.parametrize("per_row", [True, False])
def test_the_label_is_what_the_maps_have_in_the_boxes(per_row: bool) -> None:
    images = torch.rand(4, 3, 20, 24)
    method = SnapMix(2.0, per_row, saliency=brightness)
    blend = method(images, torch.eye(4), np.random.default_rng(3), PARTNERS)
    rng, size = np.random.default_rng(3), np.array([20, 24])
    to, of = (method._boxes(rng, 4, size).edges.expand(4, 4).tolist() for _ in range(2))
    maps = brightness(images, images)
    for row, partner in enumerate(PARTNERS):
        (top, bottom, left, right), (up, down, west, east) = to[row], of[row]
        own = 1 - maps[row, top:bottom, left:right].sum()
        other = maps[partner, up:down, west:east].sum()
        torch.testing.assert_close(blend.share[row], torch.stack([own, other]))
    assert isinstance(blend.mask, Boxes) and blend.mask.edges.expand(4, 4).tolist() == to
    assert (blend.share.sum(1) - 1).abs().max() > 1e-3 and to != of


def test_the_pasted_box_is_the_partners_other_box() -> None:
    """Each picture is its number."""
    images = torch.arange(1.0, 5).view(4, 1, 1, 1).expand(4, 1, 16, 16).clone()
    method = SnapMix(1.0, saliency=lambda pictures, _: torch.full((4, 16, 16), 1 / 256))
    blend = method(images, torch.eye(4), np.random.default_rng(0), PARTNERS)
    mixed = blend.images(images)
    assert isinstance(blend.mask, Boxes)
    for row, (top, bottom, left, right) in enumerate(blend.mask.edges.tolist()):
        pasted = mixed[row, :, top:bottom, left:right] - (PARTNERS[row] + 1)
        assert (pasted.abs() < 1e-5).all()  # as the view is resized
        outside = mixed[row].sum() - mixed[row, :, top:bottom, left:right].sum()
        assert outside == (row + 1) * (256 - (bottom - top) * (right - left))


def test_a_row_that_is_its_own_partner_stays() -> None:
    images, targets = torch.rand(4, 3, 12, 12), torch.eye(4)
    own = np.array([0, 0, 2, 3])
    blend = SnapMix(saliency=brightness)(images, targets, np.random.default_rng(0), own)
    mixed, labels = blend.mix(images, targets)
    assert torch.equal(mixed[[0, 2, 3]], images[[0, 2, 3]])
    assert torch.equal(labels[[0, 2, 3]], targets[[0, 2, 3]])
    assert not torch.equal(mixed[1], images[1])


def test_the_partners_box_is_resized_into_the_rows() -> None:
    """Pictures that say where each pixel was; beside the box the row's own pixels stay."""
    height, width = 20, 34
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(34.0), indexing="ij")
    images = torch.stack([y, x])[None].expand(4, -1, -1, -1).clone()
    method = SnapMix(1.0, saliency=lambda pictures, _: torch.full((4, 20, 34), 1 / 680))
    mixed = method(images, torch.eye(4), np.random.default_rng(3), PARTNERS).images(images)
    rng, size = np.random.default_rng(3), np.array([height, width])
    to, of = (method._boxes(rng, 4, size).edges.tolist() for _ in range(2))
    for row in range(4):
        (top, bottom, left, right), other = to[row], of[row]
        found = mixed[row, :, top:bottom, left:right]
        for axis, (count, (low, high)) in enumerate(
            ((bottom - top, other[:2]), (right - left, other[2:]))
        ):
            place = low - 0.5 + (torch.arange(count) + 0.5) * (high - low) / count
            expected = place.clamp(0, size[axis] - 1)
            torch.testing.assert_close(found[axis].mean(1 - axis), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("size", [(20, 24), (8, 40)])
def test_both_boxes_are_cutmixs_of_a_pixel_at_least(size: tuple[int, int]) -> None:
    images = torch.zeros(200, 1, *size)
    found = SnapMix(0.7)._boxes(np.random.default_rng(1), 200, np.array(size)).edges
    _, boxes = CutMix(0.7).draw(images, np.random.default_rng(1), 200, min_side=1)
    assert torch.equal(found, boxes.edges)
    assert ((found[:, 1::2] - found[:, ::2]).amin(0) == 1).all()
