"""The alpha of a method over the training."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from mixlab.errors import UserError
from mixlab.mixing import Address, CutMix, Cutout, Mixup, MixupMany, OneOf, Policy, Sequence
from mixlab.mixing.alpha import alpha_from, with_alpha
from mixlab.mixing.methods.ablations import ablated
from mixlab.mixing.methods.published import BothClasses


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize(("first", "last"), [(0.1, 1.0), (2, 0.3), (1.0, 1.0)])
def test_it_goes_from_the_first_number_to_the_second(name: str, first: float, last: float) -> None:
    alpha = alpha_from({name: [first, last]})
    course = np.array([alpha(progress) for progress in np.linspace(0, 1, 11)])
    assert course[0] == first and course[-1] == last
    assert course[5] == pytest.approx((first + last) / 2)
    assert (np.diff(course) * np.sign(last - first) >= 0).all()
    if name == "linear":
        assert np.diff(course) == pytest.approx(np.full(10, (last - first) / 10))
    elif first != last:
        assert abs(course[1] - first) < 0.03 * abs(last - first), "slow at first"


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_the_draws_are_those_of_that_alpha(progress: float) -> None:
    policy = Policy(alpha_schedule={"linear": [0.2, 3.0]}, partners="derangement")
    alpha = 0.2 + 2.8 * progress
    images, targets = torch.zeros(64, 1), torch.eye(64)
    for batch in range(3):
        address = Address(0, 0, 0, batch)
        found = policy.draw(Mixup(9.0), images, targets, address, progress=progress)
        expected = Policy(partners="derangement").draw(Mixup(alpha), images, targets, address)
        assert torch.equal(found.share, expected.share)
    blends = [
        policy.draw(Mixup(9.0), images, targets, Address(1, 0, 0, batch), progress=progress)
        for batch in range(30)
    ]
    shares = torch.cat([blend.share[:, 0] for blend in blends]).double().numpy()
    shares = shares[shares < 1 - 1e-6]
    if alpha > 1:
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_the_other_knobs_of_the_method_stay() -> None:
    assert with_alpha(MixupMany(1.0, 5, per_row=False), 0.3) == MixupMany(0.3, 5, per_row=False)
    assert with_alpha(BothClasses(Mixup(1.0)), 0.3) == BothClasses(Mixup(0.3))
    assert with_alpha(ablated(CutMix(1.0), "inputs"), 0.3) == ablated(CutMix(0.3), "inputs")


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (Cutout(0.5), "needs a method with alpha, and Cutout has none; use mixing.schedule"),
        (OneOf([Mixup(1.0), CutMix(1.0)]), "needs one alpha, and OneOf has several methods; use"),
        (Sequence([Mixup(1.0)]), "needs one alpha, and Sequence has several methods; use"),
        (ablated(Cutout(0.5), "inputs"), "Cutout has none"),
    ],
)
def test_a_method_without_one_alpha_is_refused(method: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=f"mixing.alpha_schedule {sentence}|{sentence}"):
        Policy(alpha_schedule={"linear": [0.1, 1.0]}).scheduled(method, 0.0)


@pytest.mark.parametrize(
    "spec",
    [
        "linear", 0.5, {}, {"linear": 1.0}, {"linear": [0, 1]}, {"linear": [1.0]}, [0.1, 1.0],
        {"step": [0.1, 1.0]}, {"linear": [0.1, 1], "cosine": [0.1, 1]}, {"linear": ["a", 1]},
        {"constant": [0.1, 1.0]},
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_named(spec: Any) -> None:
    with pytest.raises(UserError, match=r"alpha_schedule must be \{linear: .* got .*; null"):
        Policy(alpha_schedule=spec)
