"""Features that are matched before they are mixed, and the transport that matches them."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from mixlab.errors import UserError
from mixlab.mixing import CutMix, OneOf, Sequence
from mixlab.mixing.methods import AlignMix
from mixlab.mixing.sinkhorn import squared_distances, transport_plan


def aligned_and_drawn(features: torch.Tensor, **knobs: float) -> tuple:
    method = AlignMix(1.0, regularization=0.002, iterations=300, **knobs)  # pyright: ignore
    partners = np.arange(len(features))[::-1].copy()
    blend = method(features, torch.eye(len(features)), np.random.default_rng(0), partners)
    return blend.images(features), blend


@pytest.mark.parametrize("places", [2, 5, 9])
def test_a_sharp_plan_is_the_exact_assignment(places: int) -> None:
    generator = torch.Generator().manual_seed(places)
    points = torch.rand(2, 6, 3, places, generator=generator)
    cost = squared_distances(*points)
    direct = (points[0][..., :, None] - points[1][..., None, :]).square().sum(1)
    torch.testing.assert_close(cost, direct)
    plan = transport_plan(cost, 0.002, 2000)
    for each, found in zip(cost, plan, strict=True):
        best = each.numpy()[linear_sum_assignment(each.numpy())].mean()
        assert (each * found).sum() == pytest.approx(best, rel=0.02)
        torch.testing.assert_close(found.sum(1), torch.full((places,), 1 / places))
        torch.testing.assert_close(found.sum(0), torch.full((places,), 1 / places), atol=2e-3,
                                   rtol=0)  # fmt: skip


def test_much_regularization_spreads_everything_evenly() -> None:
    plan = transport_plan(torch.rand(3, 4, 6), 1e4, 5)
    torch.testing.assert_close(plan, torch.full((3, 4, 6), 1 / 24), rtol=1e-3, atol=0)


def test_moved_features_come_back_to_their_places() -> None:
    """The partner is the row with its positions shuffled: aligned, it is the row again."""
    row = torch.rand(1, 8, 3, 3)
    shuffled = row.flatten(2)[:, :, torch.randperm(9)].view_as(row)
    mixed, blend = aligned_and_drawn(torch.cat([row, shuffled]))
    assert 0.05 < blend.own_share[0] < 0.95
    torch.testing.assert_close(mixed[:1], row, atol=0.01, rtol=0)
    torch.testing.assert_close(mixed[1:], shuffled, atol=0.01, rtol=0)


def test_a_row_with_itself_stays_and_the_gate_leaves_rows_alone() -> None:
    features = torch.rand(3, 4, 5, 5)
    mixed, blend = aligned_and_drawn(features)
    assert torch.equal(blend.source[1], torch.tensor([1, 1]))
    torch.testing.assert_close(mixed[1], features[1])
    gated = blend.where(np.array([False, False, True]))
    assert type(gated) is type(blend) and gated.iterations == 300
    assert torch.equal(gated.images(features)[0], features[0])
    torch.testing.assert_close(gated.images(features)[2], mixed[2])


def test_it_is_no_mask_and_no_method_for_large_maps() -> None:
    images, targets = torch.rand(4, 3, 8, 8), torch.eye(4)
    for method in (OneOf([AlignMix(1.0), CutMix(1.0)]), Sequence([AlignMix(1.0), CutMix(1.0)])):
        with pytest.raises(UserError, match="AlignedBlend cannot be combined"):
            method(images, targets, np.random.default_rng(0))
    with pytest.raises(UserError, match="33 x 32 are more than 1024; choose a later layer"):
        AlignMix(1.0)(torch.rand(2, 1, 33, 32), targets, np.random.default_rng(0))
    with pytest.raises(UserError, match="2 x 33 x 16 are more than 1024"):  # of a video
        AlignMix(1.0)(torch.rand(2, 1, 2, 33, 16), targets, np.random.default_rng(0))
    with pytest.raises(UserError, match="masks would not move with them"):
        AlignMix(1.0)(images, targets, np.random.default_rng(0)).mix(images, images)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_features_are_matched_in_32_bits_whatever_the_forward_pass_has(dtype: torch.dtype) -> None:
    """Features far from zero: with 16 bits their distances would be those of other features."""
    generator = torch.Generator().manual_seed(0)
    features = 20 + 3 * torch.randn(4, 64, 4, 4, generator=generator)
    expected, blend = aligned_and_drawn(features)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(blend.images(features), expected)
