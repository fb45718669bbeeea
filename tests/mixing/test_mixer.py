"""A method and a policy as one call, for a loop of anybody's."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from mixlab import timm
from mixlab.callbacks import ActivationMixingCallback, MixingCallback
from mixlab.collate import MixCollate
from mixlab.errors import UserError
from mixlab.mixing import Address, CutMix, Cutout, Method, Mixer, Mixup, Policy, hard_labels
from mixlab.mixing.mixer import warn_of_one_row

IMAGES = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 5


@pytest.mark.parametrize("method", [Mixup(alpha=1.0), CutMix(alpha=1.0)])
def test_it_is_the_policys_draw(method: Method) -> None:
    policy = Policy(0.5, partners="derangement", schedule="linear")
    mixer = Mixer(method, policy, num_classes=5, seed=3, rank=1)
    images, targets = mixer(IMAGES, LABELS, epoch=2, batch=7, progress=0.25)
    one_hot = torch.eye(5)[LABELS]
    blend = policy.draw(method, IMAGES, one_hot, Address(3, 1, 2, 7), progress=0.25)
    for mine, expected in zip((images, targets), blend.mix(IMAGES, one_hot), strict=True):
        assert torch.equal(mine, expected)
    assert 0 < (targets.max(1).values < 1).sum() < 12


def test_each_place_has_draws_of_its_own() -> None:
    places: list[dict[str, int]] = [{}, {"seed": 1}, {"rank": 1}, {"epoch": 1}, {"batch": 1}]
    drawn = set()
    for place in places:
        at = {"seed": 0, "rank": 0, "epoch": 0, "batch": 0, **place}
        mixer = Mixer(Mixup(alpha=1.0), num_classes=5, seed=at["seed"], rank=at["rank"])
        _, targets = mixer(IMAGES, LABELS, epoch=at["epoch"], batch=at["batch"])
        drawn.add(tuple(targets.flatten().tolist()))
    assert len(drawn) == len(places)


@pytest.mark.parametrize("schedule", ["linear", "cosine", {"off_after": 0.5}])
def test_a_schedule_has_to_know_the_progress(schedule: Any) -> None:
    mixer = Mixer(Mixup(alpha=1.0), Policy(schedule=schedule), num_classes=5, seed=0)
    with pytest.raises(ValueError, match="schedule=.* needs the progress .*progress=epoch / e"):
        mixer(IMAGES, LABELS, epoch=0, batch=0)
    _, targets = mixer(IMAGES, LABELS, epoch=0, batch=0, progress=1.0)
    assert torch.equal(targets, torch.eye(5)[LABELS])


def test_masks_are_mixed_pixel_by_pixel() -> None:
    """Every pixel of an image is its class in the mask."""
    masks = torch.randint(0, 5, (12, 8, 8), generator=torch.Generator().manual_seed(0))
    mixer = Mixer(CutMix(alpha=1.0), num_classes=5, seed=0)
    images, planes = mixer(masks[:, None].float(), masks, epoch=0, batch=0)
    assert torch.equal(hard_labels(planes), images[:, 0].long())
    assert not torch.equal(images[:, 0].long(), masks)


def test_each_image_has_a_label() -> None:
    with pytest.raises(UserError, match="^got 12 images and 5 labels; give each image"):
        Mixer(CutMix(1.0), num_classes=5, seed=0)(IMAGES, LABELS[:5], epoch=0, batch=0)
    callback = MixingCallback(CutMix(1.0), num_classes=5)
    with pytest.raises(UserError, match="^got 12 images and 5 labels; give each image"):
        callback.mix_in_place([IMAGES, LABELS[:5]], Address(0))


def test_labels_that_are_too_many_are_not_left_out() -> None:
    """The first of them were taken, whatever they are of."""
    blend = Policy().draw(Mixup(1.0), IMAGES, torch.eye(12), Address(0))
    with pytest.raises(UserError, match="^got 12 images and 13 labels; give each image"):
        blend.mix(IMAGES, torch.eye(13))
    with pytest.raises(UserError, match="^got 12 images and 24 labels; give each image"):
        timm.Mixup(num_classes=5, seed=0)(IMAGES, LABELS.repeat(2))
    two = MixCollate(
        Mixup(1.0), num_classes=5, seed=0, collate=lambda _: (IMAGES, LABELS.repeat(2))
    )
    with pytest.raises(UserError, match="^got 12 images and 24 labels; give each image"):
        two([])


@pytest.mark.parametrize("size", [(), (8, 8)])
def test_float_labels_have_as_many_classes_as_are_said(size: tuple[int, ...]) -> None:
    """Another number was ignored, so that the network and the labels did not fit."""
    targets = torch.eye(12)[:, :5].view(12, 5, *[1] * len(size)).expand(12, 5, *size).clone()
    said = "^float labels must .*, got 5 columns with num_classes=7; set num_classes=5, or leave"
    with pytest.raises(UserError, match=said):
        Mixer(CutMix(1.0), num_classes=7, seed=0)(IMAGES, targets, epoch=0, batch=0)
    with pytest.raises(UserError, match=said):
        MixingCallback(CutMix(1.0), num_classes=7).mix_in_place([IMAGES, targets], Address(0))
    Mixer(CutMix(1.0), num_classes=5, seed=0)(IMAGES, targets, epoch=0, batch=0)
    MixingCallback(CutMix(1.0), num_classes=5).mix_in_place([IMAGES, targets], Address(0))


def test_a_misspelt_argument_of_a_callback_has_a_nearest_name() -> None:
    wrong: Any = {"probabilty": 0.5}
    with pytest.raises(UserError, match="^MixingCallback takes no .* did you mean probability"):
        MixingCallback(Mixup(1.0), **wrong)
    with pytest.raises(UserError, match="^ActivationMixingCallback .* layr; did you mean layer"):
        ActivationMixingCallback(Mixup(1.0), layr="last")


@pytest.mark.parametrize("take", [Mixer, MixingCallback])
def test_a_batch_of_one_class_has_no_row_of_another(take: Any) -> None:
    with pytest.warns(UserWarning, match="other_class found one class alone in a batch.* stays un"):
        if take is Mixer:
            mixer = Mixer(Mixup(1.0), Policy(partners="other_class"), num_classes=5, seed=0)
            mixer(IMAGES, LABELS * 0, epoch=0, batch=0)
        else:
            callback = MixingCallback(Mixup(1.0), partners="other_class", num_classes=5)
            callback.mix_in_place([IMAGES, LABELS * 0], Address(0))


@pytest.mark.parametrize("wrong", [0.5, "a", None, torch.tensor(0.5)])
@pytest.mark.parametrize("name", ["epoch", "batch"])
def test_a_position_is_of_whole_numbers(name: str, wrong: Any) -> None:
    mixer = Mixer(Mixup(1.0), num_classes=5, seed=0)
    with pytest.raises(UserError, match=f"^{name} must be a whole number from 0, got .*; count "):
        mixer(IMAGES, LABELS, **{"epoch": 0, "batch": 0, name: wrong})
    drawn = [mixer(IMAGES, LABELS, epoch=n, batch=n)[1] for n in (1, np.int64(1), torch.tensor(1))]
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[2])
    with pytest.raises(UserError, match="must be five whole numbers in"):
        mixer(IMAGES, LABELS, **{"epoch": 0, "batch": 0, name: -1})


@pytest.mark.parametrize("knob", [{"num_classes": 0}, {"seed": 2**32}, {"rank": -1}])
def test_knobs_that_cannot_be(knob: Any) -> None:
    with pytest.raises(ValueError, match="(num_classes|seed|rank) must be an? .* from"):
        Mixer(Mixup(alpha=1.0), **{"seed": 0, **knob})


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (Mixup, r"^give Mixup\(\.\.\.\), an object, not the class$"),
        (None, r"^method must be an object such as CutMix\(alpha=1.0\), got None$"),
        ("mixup", r"^method must be an object such as CutMix\(alpha=1.0\), got 'mixup'$"),
    ],
)
def test_a_method_is_an_object(method: Any, sentence: str) -> None:
    for take in (partial(Mixer, num_classes=5, seed=0), MixingCallback):
        with pytest.raises(UserError, match=sentence):
            take(method)


def test_one_row_has_nobody_to_mix_with() -> None:
    """Warnings are errors here, so cutout, which needs nobody, says nothing."""
    Mixer(Cutout(0.5), num_classes=5, seed=0)(IMAGES[:1], LABELS[:1], epoch=0, batch=0)
    mixer = Mixer(Mixup(alpha=1.0), num_classes=5, seed=0)
    with pytest.warns(UserWarning, match="one row has no partner to mix with; use larger batch"):
        images, _ = mixer(IMAGES[:1], LABELS[:1], epoch=0, batch=0)
    torch.testing.assert_close(images, IMAGES[:1])
    targets = torch.eye(12)
    guests = Policy().draw(Mixup(1.0), IMAGES, targets, Address(0, batch=1), num_rows=1)
    assert guests.source[0, 1] > 0
    warn_of_one_row(guests)  # as of a rank with one row, among others
