"""Who is mixed with whom."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixlab.errors import UserError
from mixlab.mixing import Address, CutMix, Mixup, MixupMany, Policy, Sequence
from mixlab.mixing.partners import drawn_columns, partner_columns, rule_from

NAMES = [
    "permutation", "derangement", "cyclic", "same_class", "other_class", "nearest", "farthest",
    "reverse",
]  # fmt: skip


def _partners(name: str, classes: list[int], num_rows: int, seed: int = 0) -> np.ndarray:
    images = torch.arange(len(classes)).float().view(-1, 1, 1, 1)
    targets = torch.eye(4)[classes]
    return rule_from(name)(images, targets, np.random.default_rng(seed), num_rows)


@pytest.mark.parametrize("name, hint", [("derangment", "did you mean derangement"), (3, "choose")])
def test_an_unknown_rule_is_refused_with_the_nearest(name: object, hint: str) -> None:
    with pytest.raises(UserError, match=f"partners must be one of permutation.*; {hint}") as e:
        rule_from(name)
    assert "guests" not in str(e.value), "which no data module loads by that name"


@pytest.mark.filterwarnings("ignore:partners=other_class found one class")
@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(
    classes=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    data=st.data(),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_rule_gives_every_row_a_row(
    name: str, classes: list[int], data: st.DataObject, seed: int
) -> None:
    num_rows = data.draw(st.integers(1, len(classes)))
    partners = _partners(name, classes, num_rows, seed)
    assert partners.shape == (num_rows,) and partners.dtype == np.int64
    assert ((partners >= 0) & (partners < len(classes))).all()
    own, all_classes = np.arange(num_rows), np.array(classes)
    if name in ("permutation", "derangement", "cyclic", "reverse"):
        assert len(set(partners)) == num_rows
    if name in ("derangement", "cyclic", "nearest", "farthest") and len(classes) > 1:
        assert (partners != own).all()
    if name in ("same_class", "other_class"):
        for row, partner in enumerate(partners):
            alike = all_classes == all_classes[row]
            eligible = np.flatnonzero(alike if name == "same_class" else ~alike)
            eligible = eligible[eligible != row]
            assert partner in eligible if len(eligible) else partner == row


@pytest.mark.parametrize("name", ["permutation", "derangement", "same_class", "other_class"])
def test_every_row_that_qualifies_is_equally_likely(name: str) -> None:
    classes, draws = [0, 0, 0, 1, 1, 1], 3000
    counts = np.zeros((6, 6))
    for seed in range(draws):
        counts[np.arange(6), _partners(name, classes, 6, seed)] += 1
    alike = np.equal.outer(classes, classes)
    eligible = {
        "permutation": np.ones((6, 6), dtype=bool),
        "derangement": ~np.eye(6, dtype=bool),
        "same_class": alike & ~np.eye(6, dtype=bool),
        "other_class": ~alike,
    }[name]
    expected = eligible / eligible.sum(1, keepdims=True)
    spread = np.sqrt(expected * (1 - expected) / draws)
    assert (np.abs(counts / draws - expected) <= 4.5 * spread).all()


def test_nearest_is_the_closest_other_row_in_any_dtype() -> None:
    images = torch.tensor([0.0, 1.0, 5.0, 5.5, 0.9])[:, None]
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        found = rule_from("nearest")(images.to(dtype), images, np.random.default_rng(0), 4)
        assert found.tolist() == [4, 4, 3, 2]


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_distances_are_told_far_from_zero(offset: float) -> None:
    """As of a table's columns that nobody has scaled; with rows enough for matrix products."""
    steps = torch.randperm(32, generator=torch.Generator().manual_seed(0)).float()
    rows = (offset + steps.square() / 4)[:, None].expand(-1, 8)
    nearest = rule_from("nearest")(rows, rows, np.random.default_rng(0), 32)
    expected = steps.sub(1).abs()  # the row of the step before, and for the first that after it
    assert torch.equal(steps[nearest], expected)
    farthest = rule_from("farthest")(rows, rows, np.random.default_rng(0), 32)
    assert ((steps[farthest] == 31) | (steps[farthest] == 0)).all()


def test_farthest_is_the_most_distant_row() -> None:
    images = torch.tensor([0.0, 1.0, 5.0, 5.5, 0.9])[:, None]
    for dtype in (torch.float32, torch.bfloat16):
        found = rule_from("farthest")(images.to(dtype), images, np.random.default_rng(0), 4)
        assert found.tolist() == [3, 3, 0, 0]


def test_reverse_is_the_batch_backward() -> None:
    assert _partners("reverse", [0] * 4, 4).tolist() == [3, 2, 1, 0]
    assert _partners("reverse", [0] * 3, 3).tolist() == [2, 1, 0]


def test_cyclic_is_the_row_before() -> None:
    assert _partners("cyclic", [0] * 4, 4).tolist() == [3, 0, 1, 2]


def test_guests_are_met_in_order_and_must_be_there() -> None:
    for name in ("second_pass", "dataset"):
        assert _partners(name, [0] * 8, 4).tolist() == [4, 5, 6, 7]
        assert _partners(name, [0] * 6, 4).tolist() == [4, 5, 4, 5]
        with pytest.raises(UserError, match=rf"partners={name} needs .*ImageDataModule\(guests=.*"
                                            "; use that, or permutation"):  # fmt: skip
            _partners(name, [0] * 4, 4)


@pytest.mark.parametrize("name", [*NAMES, "second_pass", "dataset"])
def test_each_of_several_partners_is_found_by_the_rule(name: str) -> None:
    images, targets = torch.rand(12, 3, generator=torch.Generator().manual_seed(0)), torch.eye(12)
    targets[:] = torch.eye(12)[torch.arange(12) % 2]
    rule, rng = rule_from(name), np.random.default_rng(0)
    found = drawn_columns(rule, images, targets, rng, 6, 3)
    assert found.shape == (6, 3) and found.dtype == np.int64
    alone = np.random.default_rng(0)
    assert (drawn_columns(rule, images, targets, alone, 6, 1) == found[:, 0]).all()
    assert (found != found[:, :1])[:, 1:].any(0).all(), "no column is the first again"
    if name in ("cyclic", "reverse", "nearest", "farthest", "second_pass", "dataset"):
        assert all(len(set(row)) == 3 for row in found.tolist()), "three partners, not one"
    if name in ("same_class", "other_class"):
        odd = (found - np.arange(6)[:, None]) % 2
        assert (odd == (name == "other_class")).all()
    if name in ("nearest", "farthest"):
        distance = torch.cdist(images, images)[:6].gather(1, torch.from_numpy(found))
        assert (distance.diff(dim=1) * (1 if name == "nearest" else -1) >= 0).all()


def test_where_nobody_is_left_the_last_partners_are_the_row_itself() -> None:
    images, rng = torch.rand(2, 3), np.random.default_rng(0)
    found = drawn_columns(rule_from("nearest"), images, torch.eye(2), rng, 2, 3)
    assert found.tolist() == [[1, 0, 0], [0, 1, 1]]
    found = drawn_columns(rule_from("farthest"), images, torch.eye(2), rng, 2, 3)
    assert found.tolist() == [[1, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize("method", [MixupMany(1.0, 3), Sequence([Mixup(1.0), CutMix(1.0)])])
@pytest.mark.parametrize("rule", ["cyclic", "nearest", "second_pass", "dataset"])
def test_a_method_of_several_partners_mixes_as_many_rows(method, rule: str) -> None:
    images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    policy = Policy(partners=rule)
    blend = policy.draw(method, images, torch.eye(16), Address(0), num_rows=8)
    assert all(len(set(row)) > 2 for row in blend.source.tolist())


def test_a_permutation_reaches_the_guests() -> None:
    assert any((_partners("permutation", [0] * 8, 4, seed) >= 4).any() for seed in range(9))


def test_a_rule_of_ones_own_is_a_callable() -> None:
    def first(images: Tensor, targets: Tensor, rng: np.random.Generator, rows: int) -> np.ndarray:
        return np.zeros(rows, dtype=np.int64)

    images = torch.rand(4, 2)
    blend = Policy(partners=first).draw(Mixup(1.0), images, torch.eye(4), Address(0))
    assert blend.source[:, 1].tolist() == [0, 0, 0, 0]


def test_partners_of_another_shape_or_type_are_refused() -> None:
    images, rng = torch.rand(4, 2), np.random.default_rng(0)
    with pytest.raises(ValueError, match="int64 row numbers, got float64"):
        partner_columns(np.zeros(4), images, rng)
    with pytest.raises(ValueError, match=r"\(B, 2\), got shape \(4,\)"):
        partner_columns(np.zeros(4, dtype=np.int64), images, rng, 2)
    with pytest.raises(ValueError, match="got shape"):
        partner_columns(np.zeros((4, 1, 1), dtype=np.int64), images, rng)
