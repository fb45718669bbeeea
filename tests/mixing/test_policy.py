"""Gate, probability, schedule and partners act, and share their draws between arms."""

import numpy as np
import pytest
import torch

from helpers.mixing_cases import METHODS
from mixlab.mixing import Address, Blend, Boxes, Method, Mixup, Policy, Sequence

IMAGES, TARGETS = torch.rand(32, 2, 6, 6), torch.eye(32)


def _mixed_rows(policy: Policy, batch: int, **options: object) -> np.ndarray:
    """(B,) bool: a derangement leaves no row alone by chance."""
    blend = policy.draw(Mixup(1.0), IMAGES, TARGETS, Address(0, 0, 0, batch), **options)  # pyright: ignore
    return (blend.own_share < 1).numpy()


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("gate", ["row", "batch"])
def test_the_share_of_mixed_rows_is_the_probability(gate: str, probability: float) -> None:
    policy = Policy(probability, gate, partners="derangement")
    rows = np.array([_mixed_rows(policy, batch) for batch in range(400)])
    decisions = rows if gate == "row" else rows[:, 0]
    spread = np.sqrt(probability * (1 - probability) / decisions.size)
    assert abs(decisions.mean() - probability) <= 4 * spread
    if gate == "batch":
        assert (rows == rows[:, :1]).all()
    elif 0 < probability < 1:
        assert (rows != rows[:, :1]).any()


def test_every_nth_row_of_the_data_set_is_mixed_and_never_the_first() -> None:
    policy = Policy(gate={"every": 5}, partners="derangement")
    index = torch.arange(32) * 3
    rows = _mixed_rows(policy, 0, index=index)
    assert (np.flatnonzero(rows) == [5, 10, 15, 20, 25, 30]).all()
    half = Policy(0.5, {"every": 5}, partners="derangement")
    halves = np.array([_mixed_rows(half, batch, index=index) for batch in range(200)])
    assert not halves[:, ~rows].any() and 0.4 < halves[:, rows].mean() < 0.6
    with pytest.raises(ValueError, match="needs the numbers of the rows .*; give Policy.draw an"):
        _mixed_rows(policy, 0)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("gate", ["row", "batch"])
def test_a_batch_without_rows_stays_one(name: str, gate: str) -> None:
    images, targets = torch.rand(0, 3, 8, 8), torch.rand(0, 4)
    blend = Policy(0.5, gate).draw(METHODS[name], images, targets, Address(0))
    mixed, labels = blend.mix(images, targets)
    assert mixed.shape == images.shape and labels.shape == targets.shape


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("gate", ["row", "batch"])
def test_arms_at_two_probabilities_share_their_draws(name: str, gate: str) -> None:
    def drawn(probability: float, batch: int) -> Blend:
        policy = Policy(probability, gate)
        return policy.draw(METHODS[name], IMAGES, TARGETS, Address(0, 0, 0, batch))

    for batch in range(4):
        always, often, seldom = (drawn(each, batch) for each in (1.0, 0.7, 0.3))
        rows = {blend: (blend.own_share < 1) for blend in (always, often, seldom)}
        assert (rows[seldom] <= rows[often]).all() and (rows[often] <= rows[always]).all()
        for some in (often, seldom):
            chosen = rows[some]
            got, expected = (blend.targets(TARGETS)[chosen] for blend in (some, always))
            assert torch.equal(got, expected)


def test_methods_share_the_gate_and_the_partners() -> None:
    def drawn(name: str) -> Blend:
        return Policy(0.5).draw(METHODS[name], IMAGES, TARGETS, Address(0))

    assert torch.equal(drawn("mixup").source, drawn("cutmix").source)


def test_the_schedule_acts_on_the_draw() -> None:
    policy = Policy(schedule={"off_after": 0.5}, partners="derangement")
    assert _mixed_rows(policy, 0, progress=0.49).all()
    assert not _mixed_rows(policy, 0, progress=0.5).any()
    for gate in ("row", "batch"):
        linear = Policy(0.8, gate, schedule="linear", partners="derangement")
        rows = np.array([_mixed_rows(linear, batch, progress=0.75) for batch in range(400)])
        assert 0.15 < rows.mean() < 0.25


@pytest.mark.parametrize("name", ["permutation", "derangement", "cyclic", "nearest"])
def test_the_rule_of_the_partners_acts(name: str) -> None:
    sources = {
        rule: Policy(partners=rule).draw(Mixup(1.0), IMAGES, TARGETS, Address(0)).source[:, 1]
        for rule in ("permutation", "derangement", "cyclic", "nearest")
    }
    assert sum(torch.equal(sources[name], other) for other in sources.values()) == 1


def test_a_batch_of_one_row_stays_as_it_is() -> None:
    for name, method in METHODS.items():
        if method.label_differs is None and "of itself" not in name:
            blend = Policy().draw(method, IMAGES[:1], TARGETS[:1], Address(0))
            mixed, labels = blend.mix(IMAGES[:1], TARGETS[:1])
            torch.testing.assert_close(mixed, IMAGES[:1])
            torch.testing.assert_close(labels, TARGETS[:1])


class Alone:
    """Erases the top line of every picture; it needs no partner, and says so."""

    num_partners = 0
    label_differs = "a line is erased, and the label stays"

    def __call__(self, images, targets, rng, partners=None):  # pyright: ignore
        num_rows = len(images) if partners is None else len(partners)
        edges = torch.tensor([[0, 1, 0, images.shape[-1]]])
        box = Boxes(edges, torch.ones(1, 1), *images.shape[-2:])
        return Blend(torch.arange(num_rows)[:, None], box, torch.ones(1, 1))


@pytest.mark.parametrize("method", [Alone(), Sequence([Alone()]), Sequence([Alone(), Mixup(1.0)])])
@pytest.mark.parametrize("rule", ["permutation", "derangement", "nearest", "across_ranks"])
def test_a_method_without_partners_is_drawn(method: Method, rule: str) -> None:
    """As the contract allows; its gate is that of other methods."""
    blend = Policy(0.5, partners=rule).draw(method, IMAGES, TARGETS, Address(0))
    erased = (blend.images(IMAGES)[:, :, 0] == 0).flatten(1).all(1)
    other = Policy(0.5, partners="derangement").draw(Mixup(1.0), IMAGES, TARGETS, Address(0))
    assert torch.equal(erased, other.own_share < 1) and 8 < erased.sum() < 24
    free = method(IMAGES, TARGETS, np.random.default_rng(0))
    assert (free.images(IMAGES)[:, :, 0] == 0).all()


def test_a_method_that_returns_no_blend_is_named() -> None:
    class Images(Mixup):
        def __call__(self, images, targets, rng, partners=None):  # pyright: ignore
            return images

    with pytest.raises(ValueError, match="Images returned Tensor; .* returns a .*Blend"):
        Policy().draw(Images(0.2), torch.rand(4, 1, 2, 2), torch.eye(4), Address(0, 0, 0, 0))
