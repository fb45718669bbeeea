"""Rows of some classes are mixed with a probability of their own."""

from typing import Any

import numpy as np
import pytest
import torch

from mixlab.errors import UserError
from mixlab.mixing import Address, Mixup, Policy
from mixlab.mixing.class_probability import by_number

NAMES = ("cat", "dog", "horse", "7")


def test_each_class_has_its_own_rate_and_the_others_the_common_one() -> None:
    wanted = np.array([0.2, 0.6, 1.0, 0.0])
    policy = Policy(0.6, partners="derangement", class_probability={0: 0.2, 2: 1.0, 3: 0.0})
    number = torch.arange(64) % 4
    images, targets = torch.rand(64, 1), torch.eye(4)[number]
    mixed = np.zeros((200, 64))
    for batch in range(200):
        blend = policy.draw(Mixup(1.0), images, targets, Address(0, 0, 0, batch))
        mixed[batch] = (blend.own_share < 1).numpy()
    for label, rate in enumerate(wanted):
        rows = mixed[:, number.numpy() == label]
        assert abs(rows.mean() - rate) <= 4 * np.sqrt(rate * (1 - rate) / rows.size)


def test_the_gate_of_the_other_classes_is_what_it_was() -> None:
    images, targets = torch.rand(64, 1), torch.eye(4)[torch.arange(64) % 4]
    rows = [
        Policy(0.5, partners="derangement", class_probability=each)
        .draw(Mixup(1.0), images, targets, Address(0))
        .mixed_rows
        for each in (None, {1: 1.0})
    ]
    others = torch.arange(64) % 4 != 1
    assert torch.equal(rows[0][others], rows[1][others]) and not torch.equal(rows[0], rows[1])
    assert rows[1][~others].all()


def test_guests_have_no_gate() -> None:
    policy = Policy(1.0, partners="dataset", class_probability={0: 0.0})
    targets = torch.eye(4)[[0, 1, 0, 0]]
    blend = policy.draw(Mixup(1.0), torch.rand(4, 1), targets, Address(0), num_rows=2)
    assert blend.mixed_rows.tolist() == [False, True]


def test_a_schedule_multiplies_all_of_them() -> None:
    policy = Policy(1.0, schedule={"off_after": 0.5}, class_probability={0: 1.0})
    images, targets = torch.rand(8, 1), torch.eye(4)[torch.arange(8) % 4]
    blend = policy.draw(Mixup(1.0), images, targets, Address(0), progress=0.7)
    assert not blend.mixed_rows.any()


def test_a_class_is_named_or_numbered() -> None:
    assert by_number({"cat": 0.2, 2: 1.0}, NAMES) == {0: 0.2, 2: 1.0}
    assert by_number({7: 0.5}, NAMES) == {3: 0.5}, "a name of digits is a name"
    for wrong, near in (("catt", "cat"), ("hors", "horse")):
        with pytest.raises(UserError, match=f"class {wrong!r}, .*did you mean {near}\\?"):
            by_number({wrong: 0.5}, NAMES)
    for wrong in (-1, 4, 1.0, None, "zebu"):
        with pytest.raises(
            UserError, match="which is not one of the 4 classes, cat to 7; give a name"
        ):
            by_number({wrong: 0.5}, NAMES)
    with pytest.raises(UserError, match="class 13, .*; give a name or a number"):
        by_number({13: 0.2}, [str(number) for number in range(10)])
    with pytest.raises(UserError, match="has dog twice"):
        by_number({"dog": 0.1, 1: 0.2}, NAMES)


@pytest.mark.parametrize("spec", ["cat", 0.5, {}, [0.5], {"cat": 2}, {0: "0.5"}, {0: None}])
def test_what_is_no_probability_of_classes_is_named(spec: Any) -> None:
    with pytest.raises(UserError, match="class_probability.* must be .*got"):
        Policy(class_probability=spec)


@pytest.mark.parametrize("gate", ["batch", {"every": 2}])
def test_it_is_for_a_gate_of_rows(gate: Any) -> None:
    with pytest.raises(UserError, match="class_probability decides row by row.*; use gate=row"):
        Policy(gate=gate, class_probability={0: 0.5})


def test_unknown_numbers_names_and_masks_are_refused_at_the_draw() -> None:
    images, targets = torch.rand(4, 1, 2, 2), torch.eye(4)
    for key in (4, -1, "cat"):
        with pytest.raises(UserError, match=f"class numbers from 0 to 3 here, got {key!r}"):
            Policy(class_probability={key: 0.5}).draw(Mixup(1.0), images, targets, Address(0))
    planes = torch.rand(4, 3, 2, 2)
    with pytest.raises(UserError, match=r"needs a class a row, got targets of shape \(4, 3, 2, 2"):
        Policy(class_probability={0: 0.5}).draw(Mixup(1.0), images, planes, Address(0))
