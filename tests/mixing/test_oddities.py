"""Slips of published code, which options repeat: what they change, and that they change no more."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlab.mixing import CutMix, Mixup, Sequence, StackMix
from mixlab.mixing.methods.published import BothClasses, PublishedCutMix

seeds = st.integers(0, 2**32 - 1)
CLASSES = torch.tensor([0, 1, 1, 2, 0, 2, 1, 0])
TARGETS = torch.eye(3)[CLASSES]


@settings(max_examples=50, deadline=None)
@given(seed=seeds)
def test_both_classes_get_the_own_share_and_one_class_gets_it_once(seed: int) -> None:
    images = torch.rand(8, 1, 6, 6)
    true = Mixup(0.5)(images, TARGETS, np.random.default_rng(seed))
    slip = BothClasses(Mixup(0.5))(images, TARGETS, np.random.default_rng(seed))
    assert torch.equal(true.images(images), slip.images(images))
    own, labels = true.share[:, 0], slip.targets(TARGETS)
    partner = CLASSES[true.source[:, 1]]
    expected = own[:, None] * ((TARGETS + torch.eye(3)[partner]) > 0)
    torch.testing.assert_close(labels, expected)
    same = partner == CLASSES
    torch.testing.assert_close(labels.sum(1), torch.where(same, own, 2 * own))


def test_rows_that_are_not_chosen_keep_their_label() -> None:
    images = torch.rand(8, 1, 6, 6)
    blend = BothClasses(Mixup(0.5))(images, TARGETS, np.random.default_rng(0))
    chosen = torch.arange(8) % 2 == 0
    labels = blend.where(chosen).targets(TARGETS)
    assert torch.equal(labels[~chosen], TARGETS[~chosen])
    assert not torch.equal(labels[chosen], TARGETS[chosen])


def test_both_classes_needs_a_method_of_two_sources() -> None:
    with pytest.raises(ValueError, match="two sources, got .*Sequence"):
        BothClasses(Sequence([CutMix(1.0), Mixup(0.2)]))
    with pytest.raises(ValueError, match=r"needs a method of two sources, got StackMix"):
        BothClasses(StackMix())(torch.rand(4, 3, 8, 8), torch.eye(4), np.random.default_rng(0))


@settings(max_examples=50, deadline=None)
@given(seed=seeds)
def test_a_label_of_unclipped_boxes_gives_the_partner_at_least_its_pixels(seed: int) -> None:
    images = torch.rand(8, 1, 17, 23)
    true = CutMix(1.0)(images, TARGETS, np.random.default_rng(seed))
    slip = PublishedCutMix(1.0, clipped_label=False)(images, TARGETS, np.random.default_rng(seed))
    assert torch.equal(true.images(images), slip.images(images))
    torch.testing.assert_close(slip.share.sum(1), torch.ones(8))
    assert (slip.share[:, 1] >= true.share[:, 1] - 1e-6).all()


def test_shares_of_unclipped_boxes_are_uniform_and_those_of_clipped_ones_are_not() -> None:
    from scipy.stats import kstest

    images, targets = torch.rand(4000, 1, 32, 32), torch.zeros(4000, 2)
    own = {
        clipped: PublishedCutMix(1.0, clipped_label=clipped)(
            images, targets, np.random.default_rng(0)
        )
        .share[:, 0]
        .numpy()
        for clipped in (True, False)
    }
    assert kstest(own[False], "uniform").pvalue > 0.01
    assert kstest(own[True], "uniform").pvalue < 1e-6
