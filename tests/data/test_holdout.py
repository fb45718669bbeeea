import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlab.data.holdout import apportion, hold_out


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    fraction=st.floats(0.01, 0.99),
)
def test_every_class_has_its_share_to_within_one_row(sizes, fraction):
    targets = np.repeat(np.arange(len(sizes)), sizes)
    if len(targets) == 1:
        return  # nothing to split
    train, held_out = hold_out(targets, len(targets), fraction)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held_out])), range(len(targets)))
    wanted = round(fraction * len(targets))
    assert len(held_out) == min(max(wanted, 1), len(targets) - 1)
    exact = len(held_out) / len(targets) * np.array(sizes)
    assert (np.abs(np.bincount(targets[held_out], minlength=len(sizes)) - exact) < 1).all()


def test_the_split_is_always_the_same_and_not_merely_the_first_rows():
    targets = np.arange(1000) % 10
    first, again = (hold_out(targets, 1000, 100)[1] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first[:10].tolist() != list(range(10)) and np.median(first) > 300


@given(sizes=st.lists(st.integers(0, 100), min_size=1), fraction=st.floats(0, 1))
def test_apportion_hands_out_all_and_no_more_than_there_is(sizes, fraction):
    total = sum(sizes)
    if total == 0:
        return
    shares = apportion(np.array(sizes), int(fraction * total))
    assert shares.sum() == int(fraction * total)
    assert (0 <= shares).all() and (shares <= sizes).all()


def test_what_is_left_over_goes_to_the_largest_remainders():
    assert apportion(np.array([10, 10, 19]), 4).tolist() == [1, 1, 2]  # of 1.03, 1.03 and 1.95


@pytest.mark.parametrize(("rule", "expected"), [("first", [0, 1, 2]), ("last", [7, 8, 9])])
def test_rows_at_an_end(rule, expected):
    train, held_out = hold_out(None, 10, 3, rule=rule)
    assert held_out.tolist() == expected
    assert sorted([*train, *held_out]) == list(range(10))


def test_none_held_out():
    train, held_out = hold_out(np.zeros(5, int), 5, 0)
    assert train.tolist() == [0, 1, 2, 3, 4] and len(held_out) == 0


@pytest.mark.parametrize("size", [-1, 10, 11, 1.5, True, "0.1", None, float("nan")])
def test_sizes_that_make_no_sense(size):
    with pytest.raises(ValueError, match="val_size"):
        hold_out(np.zeros(10, int), 10, size)


def test_unknown_rule():
    with pytest.raises(ValueError, match="val_split must be one of stratified, first, last"):
        hold_out(None, 10, 1, rule="random")
