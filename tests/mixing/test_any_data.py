"""Signals, point clouds and several labels: methods of their own, and what others say to them."""

import math
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.mixing_cases import METHODS, drawn, labeled_pictures, mean_pixel
from mixlab.errors import UserError
from mixlab.mixing import (
    Address,
    Blend,
    CutMix,
    Mixer,
    Mixup,
    OneOf,
    PointMixup,
    Policy,
    Sequence,
    SignalCutMix,
)
from mixlab.mixing.matched import best_order


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 8),
    channels=st.integers(1, 4),
    length=st.integers(1, 40),
    per_row=st.booleans(),
    seed=st.integers(0, 999),
)
def test_a_span_of_all_channels_comes_from_the_partner(
    rows: int, channels: int, length: int, per_row: bool, seed: int
) -> None:
    signals = torch.arange(rows).view(-1, 1, 1).expand(rows, channels, length).double().clone()
    blend = drawn(SignalCutMix(1.0, per_row=per_row), signals, seed=seed)
    mixed = blend.images(signals)
    for row in range(rows):
        partner = blend.source[row, 1]
        changed = mixed[row, 0] != row
        assert torch.equal(mixed[row], mixed[row, :1].expand(channels, length))
        assert (mixed[row, 0][changed] == partner).all()
        assert int(changed.int().diff().abs().sum()) <= 2, "one span"
        if partner != row:
            share = blend.share.expand(rows, 2)[row, 1]
            assert float(share) == pytest.approx(changed.double().mean().item(), abs=1e-6)


def test_a_span_has_the_drawn_length() -> None:
    """Without clipping it would be half of the length on average; the ends cut a sixth off."""
    signals = torch.zeros(4000, 1, 1000)
    share = drawn(SignalCutMix(1.0), signals).share[:, 1].mean()
    # A span of s around a uniform place keeps s - s**2 / 4 of itself: 1/2 - 1/12.
    assert share == pytest.approx(5 / 12, abs=0.015)


def clouds(rows: int, points: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, 3, points, generator=torch.Generator().manual_seed(seed))


def as_set(cloud: torch.Tensor) -> torch.Tensor:
    """The points (N, C) in an order of their own."""
    return torch.stack(sorted(cloud.T, key=lambda point: tuple(point.tolist())))


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(2, 5), points=st.integers(1, 12), seed=st.integers(0, 99))
def test_the_order_of_points_does_not_matter(rows: int, points: int, seed: int) -> None:
    given_clouds = clouds(rows, points, seed)
    order = torch.rand(rows, 1, points, generator=torch.Generator().manual_seed(seed + 1)).argsort()
    shuffled = given_clouds.gather(2, order.expand_as(given_clouds))
    mixed, labels = (
        drawn(PointMixup(1.0), x).mix(x, torch.eye(rows)) for x in (given_clouds, shuffled)
    )
    assert torch.equal(mixed[1], labels[1])
    for one, other in zip(mixed[0], labels[0], strict=True):
        torch.testing.assert_close(as_set(one), as_set(other), rtol=0, atol=1e-6)


def test_points_move_the_shortest_way() -> None:
    """No other pairing of five points is shorter, and each point lies on its line."""
    from itertools import permutations

    pair = clouds(2, 5)
    order = best_order(pair[:1], pair[1:])[0]

    def length(way: Iterable[int]) -> float:
        return (pair[0] - pair[1][:, list(way)]).norm(dim=0).sum().item()

    assert math.isclose(length(order.tolist()), min(map(length, permutations(range(5)))))
    rng = np.random.default_rng(0)
    blend = PointMixup(1.0)(pair, torch.eye(2), rng, np.array([1, 0]))
    mixed, targets = blend.mix(pair, torch.eye(2))
    for row in (0, 1):
        partner = blend.source[row, 1]
        share = targets[row, row]
        found = best_order(pair[row : row + 1], pair[partner : partner + 1])[0]
        line = share * pair[row] + (1 - share) * pair[partner][:, found]
        torch.testing.assert_close(mixed[row], line)
    assert not torch.equal(mixed, pair)


def test_a_cloud_matched_with_itself_stays() -> None:
    cloud = clouds(1, 30)
    assert torch.equal(best_order(cloud, cloud)[0], torch.arange(30))


def test_the_policy_leaves_rows_of_clouds_as_they_are() -> None:
    given_clouds = clouds(40, 8)
    blend = Policy(0.5).draw(PointMixup(1.0), given_clouds, torch.eye(40), Address(0))
    mixed, targets = blend.mix(given_clouds, torch.eye(40))
    kept = ~blend.mixed_rows
    assert 5 < kept.sum() < 35 and torch.equal(mixed[kept], given_clouds[kept])
    assert (mixed[~kept] != given_clouds[~kept]).flatten(1).any(1).all()
    torch.testing.assert_close(targets.sum(1), torch.ones(40))


def test_clouds_with_guests_gradients_and_integers() -> None:
    rows = clouds(6, 7).requires_grad_()
    blend = Policy().draw(PointMixup(1.0), rows, torch.eye(6), Address(1), num_rows=4)
    mixed = blend.images(rows)
    mixed.sum().backward()
    assert mixed.shape == (4, 3, 7) and rows.grad is not None
    with pytest.raises(UserError, match="images must be float"):
        blend.images(torch.ones(6, 3, 7, dtype=torch.uint8))
    with pytest.raises(UserError, match="matched for clouds of 7 points"):
        blend.images(clouds(6, 8))


@pytest.mark.parametrize("shape", [(4, 9), (4, 3, 8, 8)])
def test_what_is_no_cloud_or_signal(shape: tuple[int, ...]) -> None:
    rows = torch.rand(shape)
    with pytest.raises(UserError, match=r"PointMixup needs .* points.*use Mixup \(mixing=mixup\)$"):
        drawn(PointMixup(1.0), rows)
    if len(shape) == 2:
        with pytest.raises(UserError, match="SignalCutMix needs rows x channels x len.*use Mixup"):
            drawn(SignalCutMix(1.0), rows)


@pytest.mark.parametrize(
    "method",
    [Sequence([PointMixup(1.0), Mixup(1.0)]), OneOf([Mixup(1.0), PointMixup(1.0)])],
    ids=["sequence", "one of"],
)
def test_a_matching_is_not_lost_among_other_methods(method: Sequence | OneOf) -> None:
    with pytest.raises(UserError, match="MatchedBlend cannot be combined"):
        drawn(method, clouds(6, 5))
    assert isinstance(drawn(OneOf([PointMixup(1.0)], per_row=False), clouds(6, 5)), Blend)


@pytest.mark.parametrize("name", METHODS)
def test_several_labels_are_mixed_in_proportion(name: str) -> None:
    images, eye = labeled_pictures(8, (6, 6))
    several = (torch.rand(8, 5, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    several[0] = 1
    try:
        blend = Policy().draw(METHODS[name], images, several, Address(0))
    except UserError as error:  # a method that asks for the class of a row
        assert "BothClasses needs one class a row, and row 0 has 5 labels; use" in str(error)
        assert name == "mixup_both_classes"
        return
    mixed, labels = blend.mix(images, several)
    if METHODS[name].label_differs is None:  # a pixel is the share of each row
        torch.testing.assert_close(labels, (mean_pixel(mixed) @ several.double()).float())
    highest = 2.0 if name == "snapmix" else 1 + 1e-6  # whose shares do not sum to one
    assert labels.min() >= 0 and labels.max() <= highest


@pytest.mark.parametrize("rule", ["same_class", "other_class"])
def test_rules_of_classes_need_one_class_a_row(rule: str) -> None:
    labels = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 1, 1], [0, 0, 1]])
    mixer = Mixer(Mixup(1.0), Policy(partners=rule), seed=0)
    with pytest.raises(UserError, match=f"partners={rule} needs one.*row 2 has 2 labels; use"):
        mixer(torch.rand(4, 7), labels, epoch=0, batch=0)


def test_pictures_methods_name_those_for_signals_and_for_clouds() -> None:
    with pytest.raises(UserError, match="for signals also SignalCutMix, for point clouds Point"):
        CutMix(1.0)(torch.rand(4, 3, 9), torch.eye(4), np.random.default_rng(0))
