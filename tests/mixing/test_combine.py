"""Blends of blends do what applying their parts by hand does."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from helpers.mixing_cases import MASKED, METHODS, drawn
from mixlab.mixing import Blend, Boxes, CutMix, Cutout, Mixup, Sequence, compose, select
from mixlab.mixing.masks import mean_share, painted

PARTS = {
    "mixup": Mixup(0.5),
    "mixup of the batch": Mixup(0.5, per_row=False),
    "cutmix": CutMix(1.0),
    "cutmix of the batch": CutMix(1.0, per_row=False),
    "cutout": Cutout(0.5),
    "sequence": Sequence([CutMix(1.0), Mixup(0.5)]),
}


@pytest.mark.parametrize("num_guests", [0, 3])
@pytest.mark.parametrize(("first", "second"), list(product(PARTS, PARTS)))
def test_a_composed_blend_is_one_after_the_other(first: str, second: str, num_guests: int) -> None:
    images = torch.rand(6 + num_guests, 3, 9, 8)
    one = drawn(PARTS[first], images, num_rows=6, seed=1)
    two = drawn(PARTS[second], images, num_rows=6, seed=2)
    both = compose(one, two, "cpu")
    by_hand = two.images(torch.cat([one.images(images), images[6:]]))
    torch.testing.assert_close(both.images(images), by_hand, rtol=0, atol=2e-6)
    as_painted = replace(both, mask=painted(both.mask))
    torch.testing.assert_close(as_painted.images(images), by_hand, rtol=0, atol=2e-6)
    if "mixup" in (first, second):  # elsewhere the label is the mean of the composed mask
        targets = torch.eye(len(images))
        by_hand = two.targets(torch.cat([one.targets(targets), targets[6:]]))
        torch.testing.assert_close(both.targets(targets), by_hand, rtol=0, atol=2e-6)


@pytest.mark.parametrize("is_painted", [False, True])
def test_a_composed_blend_leaves_rows_that_are_not_chosen(is_painted: bool) -> None:
    """Also those that were chosen before, and are not any more."""
    images = torch.rand(6, 3, 9, 8)
    both = compose(
        drawn(PARTS["cutmix"], images, seed=1), drawn(PARTS["cutout"], images, seed=2), "cpu"
    )
    chosen, again = np.arange(6) % 2 == 0, np.arange(6) < 4
    kept = both.where(chosen).where(again)
    kept = replace(kept, mask=painted(kept.mask)) if is_painted else kept
    expected = torch.where(
        torch.from_numpy(chosen & again).view(-1, 1, 1, 1), both.images(images), images
    )
    torch.testing.assert_close(kept.images(images), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("second", ["mixup", "cutmix"])
def test_cutout_in_a_sequence_keeps_the_label_that_it_finds(second: str) -> None:
    images, targets = torch.rand(6, 3, 9, 8), torch.eye(6)
    cut, other = drawn(Cutout(0.5), images, seed=1), drawn(PARTS[second], images, seed=2)
    for both in (compose(cut, other, "cpu"), compose(other, cut, "cpu")):
        torch.testing.assert_close(both.targets(targets), other.targets(targets))


@pytest.mark.parametrize("names", [MASKED, ["mixup", "cutmix"], ["cutout", "mixup"]])
def test_a_selected_row_is_the_row_of_the_blend_it_was_chosen_from(names: list[str]) -> None:
    images, targets = torch.rand(13, 3, 9, 8), torch.eye(13)
    blends = [drawn(METHODS[name], images, num_rows=9, seed=3) for name in names]
    choice = np.arange(9) % len(blends)
    mixed, labels = select(choice, blends, "cpu").mix(images, targets)
    for row, number in enumerate(choice):
        expected, expected_label = blends[number].mix(images, targets)
        torch.testing.assert_close(mixed[row], expected[row], rtol=0, atol=1e-6)
        torch.testing.assert_close(labels[row], expected_label[row])


@pytest.mark.parametrize("second", ["cutmix", "cutmix of the batch", "cutout"])
@pytest.mark.parametrize("first", ["cutmix", "cutmix of the batch", "cutout"])
def test_two_cuts_are_weighed_as_if_they_were_painted(first: str, second: str) -> None:
    images = torch.rand(24, 3, 9, 8)
    for seed in range(4):
        one = drawn(PARTS[first], images, num_rows=16, seed=seed)
        two = drawn(PARTS[second], images, num_rows=16, seed=seed + 9)
        mask = compose(one, two, "cpu").mask
        assert torch.equal(mean_share(mask), mean_share(painted(mask)))


def _warped() -> Blend:
    box = Boxes(torch.tensor([[2, 6, 2, 6]]), torch.tensor([[1.0, 0.0]]), 8, 8)
    pair = Blend.pair(np.array([1, 2, 3, 0]), box)
    warp = torch.eye(2, 3).repeat(4, 2, 1, 1)
    warp[:, 1] = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    return Blend(pair.source, box, pair.share, warp)


def test_warps_are_selected_and_composed_with_their_rows() -> None:
    images, warped = torch.rand(4, 3, 8, 8), _warped()
    mixup = drawn(Mixup(1.0), images)
    mixed = select(np.array([0, 1, 0, 1]), [warped, mixup], "cpu").images(images)
    torch.testing.assert_close(mixed[0::2], warped.images(images)[0::2])
    torch.testing.assert_close(mixed[1::2], mixup.images(images)[1::2])
    composed = compose(warped, mixup, "cpu").images(images)
    torch.testing.assert_close(composed, mixup.images(warped.images(images)))
    with pytest.raises(ValueError, match="must come first"):
        compose(mixup, warped, "cpu")


def test_every_method_of_a_sequence_has_its_own_column_of_partners() -> None:
    images, partners = torch.rand(4, 3, 8, 8), np.array([[1, 3], [2, 0], [3, 1], [0, 2]])
    sequence = Sequence([CutMix(1.0), Mixup(1.0)])
    blend = sequence(images, torch.eye(4), np.random.default_rng(0), partners)
    first, second = partners.T
    expected = np.stack([np.arange(4), first, second, first[second]], axis=1)
    assert (blend.source.numpy() == expected).all()
