"""Applying a blend: all ways of doing it agree, and rows can be left alone."""

import pickle
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from helpers.mixing_cases import MASKED, METHODS, drawn
from mixlab.errors import UserError
from mixlab.mixing import (
    Blend,
    Boxes,
    CutMix,
    Cutout,
    FMix,
    Method,
    Mixup,
    Mosaic,
    PartnerMask,
    PuzzleMix,
    ResizeMix,
    Sequence,
    Tiles,
)
from mixlab.mixing.masks import painted
from mixlab.mixing.saliency import SpectralResidual

every_method = pytest.mark.parametrize("name", METHODS)


def _painted(blend: Blend) -> Blend:
    """The same blend for the general sum alone."""
    mask = painted(blend.mask, "cpu")
    mask = mask if mask.ndim > 2 else mask[:, :, None, None]
    return Blend(blend.source, mask, blend.share, blend.warp)


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.parametrize("shape", [(12, 3, 9, 11), (1, 1, 5, 5), (40, 3, 64, 64)])
@pytest.mark.parametrize("num_guests", [0, 5])
def test_all_ways_of_applying_agree(name: str, shape: tuple[int, ...], num_guests: int) -> None:
    images = torch.rand(shape[0] + num_guests, *shape[1:])
    blend = drawn(METHODS[name], images, num_rows=shape[0])
    expected = _painted(blend).images(images)
    # Places in a resized picture are exact one way, and a part of 10^5 of a pixel off the other.
    tolerance = {"rtol": 0, "atol": 3e-5 if blend.warp is not None else 2e-6}
    torch.testing.assert_close(blend.images(images), expected, **tolerance)
    watched = images.clone().requires_grad_()
    torch.testing.assert_close(blend.images(watched).detach(), expected, **tolerance)
    last = images.contiguous(memory_format=torch.channels_last)
    mixed = blend.images(last)
    torch.testing.assert_close(mixed, expected, **tolerance)
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    strided = torch.stack([images, images], dim=-1)[..., 0]
    torch.testing.assert_close(blend.images(strided), expected, **tolerance)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_images_and_targets_are_mixed_together_as_each_alone(dtype: torch.dtype) -> None:
    images, targets = torch.rand(6, 3, 4, 4, dtype=dtype), torch.eye(6)
    blend = drawn(Mixup(1.0), images)
    mixed, labels = blend.mix(images, targets)
    assert torch.equal(mixed, blend.images(images))
    assert torch.equal(labels, blend.targets(targets))
    assert blend.where(torch.arange(6) < 3).sums_alike, "gated rows, too, are summed once"


@every_method
def test_gradients_reach_the_sources(name: str) -> None:
    images = torch.rand(6, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    blend = drawn(METHODS[name], images)
    blend.images(images).sum().backward()
    assert images.grad is not None
    kept = blend.images(torch.ones_like(images)).sum()
    torch.testing.assert_close(images.grad.sum(), kept)


@pytest.mark.parametrize("name", MASKED)  # others move features by a plan without a gradient
def test_gradients_have_gradients(name: str) -> None:
    """As a penalty on the slope of a network at its unmixed inputs needs."""
    images = torch.rand(6, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    blend = drawn(METHODS[name], images.detach())
    check = torch.autograd.gradgradcheck
    assert check(lambda x: blend.images(x).sin(), images, fast_mode=True, atol=1e-4)


def structure(node: object) -> object:
    """What the graph of a blend depends on: types and shapes, and no values of tensors."""
    if isinstance(node, Tensor):
        return node.shape, node.dtype
    if is_dataclass(node):
        return type(node), *(structure(getattr(node, each.name)) for each in fields(node))
    return tuple(map(structure, node)) if isinstance(node, list | tuple) else repr(node)


@pytest.mark.filterwarnings("ignore:There is a performance drop", "ignore:`torch.jit.script`")
@pytest.mark.parametrize("method", [CutMix(1.0), CutMix(1.0, False), Cutout(0.5), FMix(1.0)])
def test_blends_are_mapped_and_have_tangents(method: Method) -> None:
    images, slope = torch.rand(2, 6, 3, 8, 8), torch.rand(6, 3, 8, 8)
    blend = drawn(method, images[0])
    expected = torch.stack([blend.images(each) for each in images])
    torch.testing.assert_close(torch.func.vmap(blend.images)(images), expected)
    _, tangent = torch.func.jvp(blend.images, (images[0],), (slope,))
    torch.testing.assert_close(tangent, blend.images(slope))  # which is linear
    with forward_ad.dual_level():
        mixed = forward_ad.unpack_dual(blend.images(forward_ad.make_dual(images[0], slope)))
        torch.testing.assert_close(mixed.tangent, blend.images(slope))


def test_a_mask_can_be_learned() -> None:
    images, weight = torch.rand(6, 3, 8, 8), torch.rand(6, 8, 8, requires_grad=True)
    blend = Blend.pair(np.roll(np.arange(6), 1), PartnerMask(weight))
    (slope,) = torch.autograd.grad(blend.images(images).sum(), weight)
    torch.testing.assert_close(slope, (images.roll(1, 0) - images).sum(1))


class Unlabeled(Blend):
    """A user's own, whose labels are something else."""

    def targets(self, targets: Tensor) -> Tensor:
        return super().targets(targets) * 0


def test_a_users_blend_mixes_in_its_own_way() -> None:
    images, own = torch.rand(6, 3, 8, 8), drawn(Mixup(1.0), torch.rand(6, 3, 8, 8))
    mixed, labels = Unlabeled(own.source, own.mask).mix(images, torch.eye(6))
    assert torch.equal(mixed, own.images(images)) and not labels.any()


@pytest.mark.parametrize("method", [CutMix(1.0), Cutout(0.5), ResizeMix(), Mosaic(), Mixup(1.0)])
def test_no_rows_are_mixed_into_none(method: Method) -> None:
    images, targets = torch.rand(0, 3, 8, 8), torch.rand(0, 4)
    mixed, labels = method(images, targets, np.random.default_rng(0)).mix(images, targets)
    assert mixed.shape == images.shape and labels.shape == targets.shape


@pytest.mark.slow
def test_applying_is_one_graph() -> None:
    """Blends of one structure have one graph; tracing each takes longer than all else here."""
    images, targets = torch.rand(8, 3, 8, 8), torch.eye(8)
    different = {}
    for name, method in METHODS.items():
        blend = drawn(method, images)
        different.setdefault(structure(blend), (name, blend))
    assert len(different) > 20
    for name, blend in different.values():
        torch.compiler.reset()
        compiled = torch.compile(lambda x, y, how: how.mix(x, y), backend="eager", fullgraph=True)
        pairs = zip(compiled(images, targets, blend), blend.mix(images, targets), strict=True)
        for got, expected in pairs:
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-6, msg=name)


@every_method
def test_a_blend_can_be_saved_and_replayed(name: str) -> None:
    images, targets = torch.rand(8, 3, 8, 8), torch.eye(8)
    blend = drawn(METHODS[name], images)
    again = pickle.loads(pickle.dumps(blend))
    for got, expected in zip(again.mix(images, targets), blend.mix(images, targets), strict=True):
        assert torch.equal(got, expected)


@every_method
@pytest.mark.parametrize("rows", [[True, False, True, False, False, True], [False] * 6, [True] * 6])
def test_rows_that_are_not_chosen_stay_as_they_are(name: str, rows: list[bool]) -> None:
    images, targets = torch.randn(9, 3, 8, 7), torch.eye(9)
    blend = drawn(METHODS[name], images, num_rows=6)
    gated, chosen = blend.where(np.array(rows)), torch.tensor(rows)
    mixed, labels = gated.mix(images, targets)
    everywhere, all_labels = blend.mix(images, targets)
    assert torch.equal(mixed[~chosen], images[:6][~chosen])
    assert torch.equal(labels[~chosen], targets[:6][~chosen])
    assert torch.equal(gated.own_share[~chosen], torch.ones(6)[~chosen])
    own = gated.source == torch.arange(6)[:, None]
    assert own[~chosen].all()  # no partner is reported where none was mixed in
    torch.testing.assert_close(mixed[chosen], everywhere[chosen], rtol=0, atol=1e-6)
    assert torch.equal(labels[chosen], all_labels[chosen])
    assert torch.equal(blend.where(chosen).images(images), mixed)


def test_the_identity_returns_equal_new_tensors() -> None:
    images, targets = torch.randn(5, 2, 3, 3), torch.eye(5)
    mixed, labels = Blend.identity(3).mix(images, targets)
    assert torch.equal(mixed, images[:3]) and torch.equal(labels, targets[:3])
    mixed.zero_()
    assert images.all()


def test_own_share_counts_every_column_that_is_the_row_itself() -> None:
    share = torch.tensor([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]])
    blend = Blend(torch.tensor([[0, 0, 1], [1, 0, 0]]), share)
    torch.testing.assert_close(blend.own_share, torch.tensor([0.5, 0.2]))
    assert torch.equal(blend.share, share)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "cutout", "one_of", "sequence"])
def test_mixed_rows_are_those_that_change(name: str) -> None:
    images = torch.rand(64, 1, 6, 6) + 1
    blend = drawn(METHODS[name], images).where(np.arange(64) % 3 > 0)
    changed = (blend.images(images) != images).flatten(1).any(1)
    assert blend.mixed_rows.dtype == torch.bool and blend.mixed_rows.shape == (64,)
    assert (changed >= blend.mixed_rows).all() and not blend.mixed_rows[::3].any()
    assert (changed & ~blend.mixed_rows).sum() <= 2  # by less than a millionth
    alone = Blend.pair(np.arange(64), torch.tensor([[0.3, 0.7]]))
    assert not alone.mixed_rows.any()


@pytest.mark.parametrize("name", METHODS)
def test_what_is_kept_for_logging_is_small_and_says_the_same(name: str) -> None:
    blend = drawn(METHODS[name], torch.rand(16, 1, 24, 24))
    kept = blend.unpainted
    assert torch.equal(kept.own_share, blend.own_share)
    assert torch.equal(kept.mixed_rows, blend.mixed_rows)
    assert isinstance(kept.mask, Boxes | Tiles) or kept.mask.ndim == 2


def test_a_blend_of_boxes_refuses_pictures_of_another_size() -> None:
    images = torch.rand(4, 3, 8, 8)
    blend = drawn(CutMix(1.0), images)
    for other in (torch.rand(4, 3, 8, 9), torch.rand(4, 3, 4, 8), torch.rand(4, 8)):
        with pytest.raises(ValueError, match="drawn for pictures of 8x8"):
            blend.images(other)


def test_segmentation_masks_are_cut_like_their_pictures() -> None:
    images = torch.rand(6, 3, 10, 10)
    planes = F.one_hot((images[:, 0] > 0.5).long(), 2).movedim(3, 1).float()
    blend = drawn(CutMix(1.0), images)
    mixed = blend.images(images)
    expected = F.one_hot((mixed[:, 0] > 0.5).long(), 2).movedim(3, 1).float()
    assert torch.equal(blend.images(planes), expected)


@pytest.mark.parametrize("method", [Cutout(0.5), CutMix(1.0), Mixup(1.0)])
def test_every_pixel_of_a_mixed_mask_has_a_whole_label(method: Method) -> None:
    images = torch.rand(6, 3, 10, 10)
    planes = F.one_hot((images[:, 0] > 0.5).long(), 2).movedim(3, 1).float()
    blend = drawn(method, images)
    _, mixed = blend.mix(images, planes)
    torch.testing.assert_close(mixed.sum(1), torch.ones(6, 10, 10))
    if isinstance(method, Cutout):
        assert torch.equal(mixed, planes) and not torch.equal(blend.images(planes), planes)


@pytest.mark.parametrize("method", [ResizeMix(), Mosaic(), PuzzleMix(saliency=SpectralResidual())])
def test_one_plane_moves_with_its_picture(method: Method) -> None:
    images, planes = torch.rand(6, 3, 10, 10), torch.rand(6, 10, 10)
    blend = drawn(method, images)
    assert torch.equal(blend.mix(images, planes)[1], blend.mix(images, planes[:, None])[1][:, 0])


@pytest.mark.parametrize("method", [CutMix(1.0), Mixup(1.0), Sequence([Cutout(0.5), CutMix(1.0)])])
@pytest.mark.parametrize("shape", [(1, 10, 10), (10, 10), (3, 10, 10)])
def test_planes_need_not_sum_to_one(method: Method, shape: tuple[int, ...]) -> None:
    """As masks of two classes do not, or depths, or the classes of a pixel that has several."""
    images, planes = torch.rand(6, 3, 10, 10), torch.rand(6, *shape) * 9
    blend = drawn(method, images)
    mask = painted(blend.mask)
    mask = mask if mask.ndim > 2 else mask.view(*mask.shape, 1, 1)
    mask = mask.flatten(2, -3) if mask.ndim > 4 else mask[:, :, None]  # (B, K, 1, H, W)
    mask = mask if len(shape) == 3 else mask[:, :, 0]
    expected = (mask * planes[blend.source]).sum(1) + (1 - mask.sum(1)) * planes
    torch.testing.assert_close(blend.mix(images, planes)[1], expected)


def test_masks_of_class_numbers_are_refused() -> None:
    blend, masks = drawn(CutMix(1.0), torch.rand(4, 3, 8, 8)), torch.ones(4, 8, 8).long()
    with pytest.raises(ValueError, match=r"masks must be float .* got int64 of shape \(4, 8, 8\)"):
        blend.mix(torch.rand(4, 3, 8, 8), masks)


def _shrunk_into_the_middle(num_rows: int) -> Tensor:
    """Warps that show the whole partner in the middle half of each picture."""
    warp = torch.eye(2, 3).repeat(num_rows, 2, 1, 1)
    warp[:, 1] = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    return warp


def test_a_warped_partner_is_resized_in_the_box_and_nothing_is_touched_outside() -> None:
    images, partners = torch.rand(4, 3, 16, 16), np.array([1, 2, 3, 0])
    middle = Boxes(torch.tensor([[4, 12, 4, 12]]), torch.tensor([[1.0, 0.0]]), 16, 16)
    pair = Blend.pair(partners, middle)
    blend = Blend(pair.source, middle, pair.share, _shrunk_into_the_middle(4))
    mixed, box = blend.images(images), (..., slice(4, 12), slice(4, 12))
    small = F.interpolate(images[partners], size=8, mode="bilinear", align_corners=False)
    torch.testing.assert_close(mixed[box], small, rtol=0, atol=1e-5)
    expected = images.clone()
    expected[box] = mixed[box]
    assert torch.equal(mixed, expected)
    gated = blend.where(np.array([True, False, True, False])).images(images)
    assert torch.equal(gated[1::2], images[1::2]) and torch.equal(gated[0::2], mixed[0::2])


def test_a_partner_under_the_identity_is_not_resampled() -> None:
    images, warp = torch.rand(4, 3, 17, 13), _shrunk_into_the_middle(4)
    warp[2:] = torch.eye(2, 3)
    blend = drawn(CutMix(1.0), images)
    warped = Blend(blend.source, blend.mask, blend.share, warp)
    assert torch.equal(warped.images(images)[2:], blend.images(images)[2:])


TWO = torch.full((8, 2), 0.5)


@pytest.mark.parametrize(
    ("mask", "share", "sentence"),
    [
        (TWO, torch.full((8,), 0.5), r"share must be \(rows, .*\(8 or 1, 2\), got \(8,\); give a"),
        (TWO, torch.ones(8, 1), r"share must be .*, got \(8, 1\);"),
        (TWO, TWO[:4], r"share must be .*, got \(4, 2\);"),
        (TWO, TWO[..., None], r"share must be .*, got \(8, 2, 1\);"),
        (torch.ones(8), None, r"mask must be \(rows, sources, ...\), here \(8 or 1, 2, .* \(8,\);"),
        (torch.ones(8, 12, 20), TWO, r"mask must be .*, got \(8, 12, 20\); stack a mask for each"),
        (torch.ones(4, 2, 1, 12, 20), None, r"mask must be .*, got \(4, 2, 1, 12, 20\);"),
    ],
)
def test_weights_of_another_shape_are_refused(
    mask: Tensor, share: Tensor | None, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        Blend.pair(np.arange(8), mask, share)


UNPAINTED = {
    "partner": lambda rows: PartnerMask(torch.rand(rows, 12, 20)),
    "boxes": lambda rows: Boxes(torch.zeros(rows, 4).long(), torch.tensor([[1.0, 0.0]]), 12, 20),
    "shares and boxes": lambda rows: Boxes(torch.zeros(1, 4).long(), TWO[:rows], 12, 20),
    "tiles": lambda rows: Tiles(torch.zeros(rows, 2, 4).long(), 12, 20),
}


@pytest.mark.parametrize("kind", UNPAINTED)
@pytest.mark.parametrize(("rows", "sources"), [(8, 3), (8, 1), (4, 2)])
def test_an_unpainted_mask_has_the_rows_and_sources_too(kind: str, rows: int, sources: int) -> None:
    """Of three sources the third would not be seen."""
    source = torch.arange(8)[:, None].expand(-1, sources)
    share, mask = torch.full((8, sources), 1 / sources), UNPAINTED[kind](rows)
    assert mask.shape == mask.paint().shape
    with pytest.raises(UserError, match=rf"mask must be .*, got \({rows}, 2, 12, 20\); stack"):
        Blend(source, mask, share)


def test_sources_are_columns() -> None:
    with pytest.raises(UserError, match=r"source must be \(rows, sources\), got \(8,\); make"):
        Blend(torch.arange(8), torch.ones(1, 1))
    with pytest.raises(UserError, match=r"partners must be a \(B,\).*shape \(8, 1\); take a c"):
        Blend.pair(np.arange(8)[:, None], TWO)


@pytest.mark.parametrize("wrong", [3, [0, 1], np.zeros(2), torch.zeros(2), np.zeros(2, dtype=bool)])
def test_partners_are_numbers_of_rows(wrong: Any) -> None:
    with pytest.raises(UserError, match=r"partners must be a \(B,\) int64 array or tensor, got"):
        Blend.pair(wrong, TWO)
    assert Blend.pair(torch.arange(8), TWO).source.dtype == torch.int64
