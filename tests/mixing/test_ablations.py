"""Ablations mix what the full method mixes, in images or in labels alone."""

import numpy as np
import pytest
import torch

from helpers.mixing_cases import METHODS, labeled_pictures
from mixlab.errors import UserError
from mixlab.mixing import Address, Cutout, Policy
from mixlab.mixing.methods.ablations import Ablated, ablated
from mixlab.mixing.promise import check_promise

MIXING_LABELS = [name for name in METHODS if "cutout" not in name or "then" in name]


def outcomes(name: str, policy: Policy) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    images, targets = labeled_pictures(8, (12, 10))
    found = {}
    for mix in ("both", "inputs", "labels"):
        blend = policy.draw(ablated(METHODS[name], mix), images, targets, Address(4))
        found[mix] = blend.mix(images, targets)
    return found


@pytest.mark.parametrize(
    "name", [name for name in MIXING_LABELS if not hasattr(METHODS[name], "callback")]
)
@pytest.mark.parametrize("probability", [1.0, 0.5])
def test_one_side_is_the_full_methods_and_the_other_untouched(
    name: str, probability: float
) -> None:
    images, targets = labeled_pictures(8, (12, 10))
    found = outcomes(name, Policy(probability))
    assert torch.equal(found["inputs"][0], found["both"][0])
    assert torch.equal(found["inputs"][1], targets)
    assert torch.equal(found["labels"][1], found["both"][1])
    assert torch.equal(found["labels"][0], images)
    itself = "of itself" in name  # a picture of one color is its own thumbnail
    assert itself or not torch.equal(found["inputs"][0], images)
    assert itself or "cutout" in name or not torch.equal(found["labels"][1], targets)


@pytest.mark.parametrize("name", ["transmix", "tokenmix", "automix"])
def test_labels_that_the_network_weighs_are_never_the_draws_alone(name: str) -> None:
    with pytest.raises(UserError, match="whose masks or labels the network decides; use both"):
        ablated(METHODS[name], "labels")


@pytest.mark.parametrize("mix", ["inputs", "labels"])
@pytest.mark.parametrize("name", ["mixup", "cutmix", "sequence"])
def test_the_promise_knows_that_the_label_differs(name: str, mix: str) -> None:
    images, targets = labeled_pictures(8, (12, 10))
    method = ablated(METHODS[name], mix)
    assert method.label_differs and f"only the {mix}" in method.label_differs
    blend = Policy().draw(method, images, targets, Address(0))
    check_promise(method, blend)
    if mix == "labels" or name == "mixup":
        with pytest.raises(UserError, match="labels row"):
            check_promise(METHODS[name], blend)


def test_both_is_the_method_itself() -> None:
    assert ablated(METHODS["cutmix"], "both") is METHODS["cutmix"]
    assert ablated(METHODS["cutmix"], "inputs") == Ablated(METHODS["cutmix"], "inputs")
    for wrong in ("input", None, 1):
        with pytest.raises(UserError, match="mix must be one of both, inputs, labels, got"):
            ablated(METHODS["cutmix"], wrong)  # pyright: ignore


def test_labels_that_are_kept_cannot_be_mixed_alone() -> None:
    with pytest.raises(UserError, match="would mix nothing, as Cutout keeps labels; use both"):
        ablated(Cutout(0.5), "labels")(*labeled_pictures(4, (8, 8)), np.random.default_rng(0))


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_row_of_either_counts_as_mixed(name: str) -> None:
    images, targets = labeled_pictures(8, (12, 12))
    policy = Policy(0.5, partners="derangement")
    rows = [
        policy.draw(ablated(METHODS[name], mix), images, targets, Address(0)).mixed_rows
        for mix in ("both", "inputs", "labels")
    ]
    assert rows[0].any() and torch.equal(rows[0], rows[1]) and torch.equal(rows[0], rows[2])
