"""GuidedMixup: shares of each pixel by saliency, and partners that differ in it."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur

from helpers.mixing_cases import drawn, labeled_pictures
from mixlab.callbacks import MixingCallback
from mixlab.collate import MixCollate
from mixlab.mixing import Address, CutMix, GuidedMixup, Mixer, Mixup, OneOf, Policy
from mixlab.mixing.masks import painted
from mixlab.mixing.methods.ablations import ablated
from mixlab.mixing.methods.guidedmixup import CUTOFF, distances, greedy_cycle
from mixlab.mixing.saliency import InputGradient, smoothed
from mixlab.mixing.strength import at_strength

PAIRED = Policy(partners="by_method")
PARTNERS = np.array([1, 2, 3, 0])


def brightness(images: Tensor, targets: Tensor) -> Tensor:
    """A saliency without surprises; it need not sum to one."""
    return images.mean(1)


def pictures(rows: int = 4, height: int = 32, width: int = 40) -> Tensor:
    return torch.rand(rows, 3, height, width, generator=torch.Generator().manual_seed(0))


def spots(sides: str) -> Tensor:
    """Pictures that are bright on the left or on the right."""
    images = torch.zeros(len(sides), 3, 32, 32)
    for row, side in enumerate(sides):
        images[row, ..., 4:10, slice(4, 10) if side == "l" else slice(22, 28)] = 1
    return images


def test_a_pixel_is_shared_by_what_is_salient_there() -> None:
    """And the label is the mean of these shares."""
    images, targets = pictures(), torch.eye(4)
    blend = GuidedMixup(0.0, brightness)(images, targets, np.random.default_rng(0), PARTNERS)
    mixed, labels = blend.mix(images, targets)
    maps = images.mean(1).double()
    maps = maps / maps.sum((1, 2), keepdim=True)
    for row, partner in enumerate(PARTNERS.tolist()):
        share = maps[row] / (maps[row] + maps[partner])
        expected = share * images[row] + (1 - share) * images[partner]
        torch.testing.assert_close(mixed[row], expected.float())
        assert labels[row, row].item() == pytest.approx(share.mean().item(), abs=1e-6)
        assert labels[row, partner].item() == pytest.approx(1 - share.mean().item(), abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 3.0])
def test_rows_of_the_same_saliency_have_half_of_each_pixel(smoothing: float) -> None:
    same = GuidedMixup(smoothing, lambda images, _: pictures(1).mean(1).repeat(4, 1, 1))
    blend = same(pictures(), torch.eye(4), np.random.default_rng(0), PARTNERS)
    assert (painted(blend.mask) == 0.5).all()
    assert (blend.share == 0.5).all()


def test_where_neither_row_is_salient_both_weigh_the_same() -> None:
    blend = GuidedMixup(0.0, brightness)(
        spots("lr"), torch.eye(2), np.random.default_rng(0), np.array([1, 0])
    )
    mask = painted(blend.mask)
    assert (mask[0, 0, 4:10, 4:10] == 1).all() and (mask[0, 0, 4:10, 22:28] == 0).all()
    assert (mask[:, :, :4] == 0.5).all()


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 12), seed=st.integers(0, 999), whole=st.booleans())
def test_rows_form_one_greedy_cycle(rows: int, seed: int, whole: bool) -> None:
    """It begins with the largest distance, and each step is the largest to a row not yet left."""
    random = np.random.default_rng(seed).random((rows, rows))
    distance = random + random.T
    distance = np.rint(distance * 2) if whole else distance  # ties
    kept = distance.copy()
    partners = greedy_cycle(distance)
    assert partners.dtype == np.int64 and (distance == kept).all()

    others = distance + np.diag(np.full(rows, -np.inf))
    first = int(others.argmax()) // rows
    walk = [first]
    while len(walk) < rows:
        nearer = [others[walk[-1], row] for row in range(rows) if row not in walk]
        assert others[walk[-1], partners[walk[-1]]] == max(nearer)
        walk.append(int(partners[walk[-1]]))
    assert sorted(walk) == list(range(rows)) and partners[walk[-1]] == first
    if rows > 1:
        assert others[first, partners[first]] == others.max()


def test_partners_differ_more_than_those_of_a_permutation() -> None:
    maps = GuidedMixup().maps(pictures(40), torch.eye(40))
    apart = distances(maps)
    by_hand = (maps[:, None] - maps).flatten(2).norm(dim=2).numpy()
    own = np.eye(40, dtype=bool)
    np.testing.assert_allclose(apart[~own], by_hand[~own], rtol=1e-3)
    paired = by_hand[np.arange(40), greedy_cycle(apart)].mean()
    assert paired > 1.05 * by_hand[~own].mean()


@pytest.mark.parametrize("sides", ["llrr", "lrlrlr"])
def test_by_method_rows_that_are_salient_elsewhere_are_partners(sides: str) -> None:
    rows = len(sides)
    blend = PAIRED.draw(GuidedMixup(), spots(sides), torch.eye(rows), Address(0))
    for row, partner in blend.source.tolist():
        assert sides[row] != sides[partner]


def test_other_partners_are_those_that_are_given() -> None:
    images = pictures(6)
    for rule, expected in (("cyclic", [5, 0, 1, 2, 3, 4]), ("reverse", [5, 4, 3, 2, 1, 0])):
        blend = Policy(partners=rule).draw(GuidedMixup(), images, torch.eye(6), Address(0))
        assert blend.source[:, 1].tolist() == expected


def test_pairs_are_the_same_at_every_address_and_draw_nothing() -> None:
    images, rng = pictures(6), np.random.default_rng(0)
    one, other = (
        PAIRED.draw(GuidedMixup(), images, torch.eye(6), Address(seed)) for seed in (0, 1)
    )
    assert torch.equal(one.source, other.source) and torch.equal(one.share, other.share)
    GuidedMixup()(images, torch.eye(6), rng)
    assert rng.random() == np.random.default_rng(0).random()


def test_guests_are_in_no_pair_and_the_gate_keeps_rows_back() -> None:
    images, targets = labeled_pictures(7, (12, 12))
    blend = Policy(0.5, partners="by_method").draw(
        GuidedMixup(), images, targets, Address(3), num_rows=5
    )
    mixed, labels = blend.mix(images, targets)
    assert blend.source.max() < 5 and len(mixed) == 5
    assert 0 < int(blend.mixed_rows.sum()) < 5
    torch.testing.assert_close(mixed.flatten(2).mean(2), labels, rtol=0, atol=1e-6)


def test_a_row_alone_stays_as_it_is() -> None:
    images = pictures(1)
    blend = PAIRED.draw(GuidedMixup(), images, torch.eye(1), Address(0))
    assert torch.equal(blend.images(images), images)


@pytest.mark.parametrize("refusing", [
    lambda method: Mixer(method, PAIRED, seed=0),
    lambda method: MixCollate(method, PAIRED),
    lambda method: MixingCallback(method, partners="by_method"),
], ids=["mixer", "collate", "callback"])  # fmt: skip
@pytest.mark.parametrize("method", [CutMix(1.0), OneOf([GuidedMixup(), Mixup(1.0)])])
def test_a_method_that_pairs_nothing_is_refused(refusing: Any, method: Any) -> None:
    with pytest.raises(ValueError, match=f"by_method is .* got {type(method).__name__}; use perm"):
        refusing(method)
    refusing(GuidedMixup())


def test_only_inputs_are_mixed_with_the_pairs_of_the_whole_method() -> None:
    images, targets = spots("llrr"), torch.eye(4)
    callback = MixingCallback(GuidedMixup(), partners="by_method", mix="inputs")
    whole, inputs = (
        PAIRED.draw(method, images, targets, Address(0))
        for method in (GuidedMixup(), ablated(GuidedMixup(), "inputs"))
    )
    assert callback.policy == PAIRED and torch.equal(whole.source, inputs.source)
    assert torch.equal(inputs.targets(targets), targets)


def test_the_smoothing_is_that_of_the_authors() -> None:
    """A Gaussian of 3 pixels over 7 x 7 of them; only borders are others."""
    maps = pictures(5)[:, 0]
    found = smoothed(maps, 3.0, CUTOFF)
    expected = gaussian_blur(maps[:, None], [7, 7], [3.0, 3.0])[:, 0]
    torch.testing.assert_close(found[:, 3:-3, 3:-3], expected[:, 3:-3, 3:-3])
    assert found.shape == maps.shape and not torch.allclose(found, expected)


@pytest.mark.parametrize(("size", "reach"), [((32, 50), 3), ((64, 64), 3), ((12, 40), 1)])
def test_maps_of_small_pictures_are_smoothed_less(size: tuple[int, int], reach: int) -> None:
    peak = torch.zeros(1, *size)
    peak[0, 6, 20] = 1
    (found,) = GuidedMixup(saliency=lambda images, _: peak).maps(peak[:, None], torch.eye(1))
    seen = found.nonzero()
    assert (seen[:, 0].max() - 6, seen[:, 1].max() - 20) == (reach, reach)
    assert found.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("partners", ["derangement", "by_method"])
def test_rows_keep_half_of_themselves_on_average(partners: str) -> None:
    policy = Policy(partners=partners)
    kept = [
        policy.draw(GuidedMixup(), torch.rand(32, 1, 16, 16), torch.eye(32), Address(0, 0, 0, b))
        for b in range(20)
    ]
    mean = 1 - float(torch.stack([blend.own_content for blend in kept]).mean())
    assert mean == pytest.approx(GuidedMixup().mean_mixed, abs=0.005)
    assert at_strength(policy, GuidedMixup(), 0.2, (1, 16, 16), 32).probability == 0.4


def test_with_the_gradient_it_looks_at_the_network() -> None:
    """Guided-AP. Once: the same maps pair the rows and mix them."""
    looks: list[int] = []

    class Counting(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            looks.append(len(input))
            return super().forward(input)

    torch.manual_seed(0)
    network = Counting(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3600, 4))
    method = GuidedMixup(saliency=InputGradient())
    mixer = Mixer(method, PAIRED, num_classes=4, seed=0, network=network)
    images, labels = spots("llrr"), torch.arange(4)
    mixed, targets = mixer(images, labels, epoch=0, batch=0)
    assert looks == [4]
    maps = method.bind(network).maps(images, torch.eye(4))
    partner = torch.from_numpy(greedy_cycle(distances(maps)))
    share = (maps / (maps + maps[partner]))[:, None]
    torch.testing.assert_close(mixed, share * images + (1 - share) * images[partner])
    torch.testing.assert_close(targets.diagonal(), share.mean((1, 2, 3)))


def test_autocast_does_not_change_it() -> None:
    images, targets = pictures(30), torch.eye(30)
    plain = PAIRED.draw(GuidedMixup(), images, targets, Address(0))
    with torch.autocast("cpu", torch.bfloat16):
        cast = PAIRED.draw(GuidedMixup(), images, targets, Address(0))
    assert torch.equal(plain.source, cast.source)
    assert torch.equal(painted(plain.mask), painted(cast.mask))
    assert torch.equal(plain.share, cast.share)


def test_gradients_reach_the_images_but_not_the_masks() -> None:
    images = pictures().requires_grad_()
    blend = drawn(GuidedMixup(), images)
    blend.images(images).sum().backward()
    assert images.grad is not None
    mask = painted(blend.mask)
    assert not mask.requires_grad
    share = mask[:, 0].clone()
    share.index_add_(0, blend.source[:, 1], mask[:, 1])
    torch.testing.assert_close(images.grad, share[:, None].expand_as(images))
