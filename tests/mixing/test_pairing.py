"""How many rows find a partner, counted where the rule and the rows decide."""

from itertools import islice

import numpy as np
import pytest
import torch

from mixlab.mixing import Mixup, Policy
from mixlab.mixing.pairing import chance_of_itself, shares_paired
from mixlab.mixing.sample import Sample
from mixlab.mixing.strength import at_strength


@pytest.mark.parametrize(
    ("partners", "rows", "count", "chance"),
    [
        ("permutation", 4, 1, 1 / 4),
        ("reverse", 5, 1, 1 / 5),
        ("reverse", 4, 1, 0),
        ("reverse", 4, 2, 2 / 8),  # both of the second partner
        ("cyclic", 3, 1, 0),
        ("cyclic", 3, 3, 1 / 3),
        ("derangement", 3, 1, 0),
        ("derangement", 1, 1, 1),
        ("same_class", 3, 1, 0),  # by the rows: see below
    ],
)
def test_a_row_may_meet_itself(partners: str, rows: int, count: int, chance: float) -> None:
    assert chance_of_itself(partners, rows, count) == pytest.approx(chance)


def test_an_odd_batch_in_reverse_has_a_row_in_the_middle() -> None:
    policy = at_strength(Policy(partners="reverse"), Mixup(1.0), 0.2, (1, 4, 4), 5)
    assert policy.probability == pytest.approx(0.2 / (0.5 * 4 / 5))


@pytest.mark.filterwarnings("ignore:partners=other_class found one class")
@pytest.mark.parametrize("partners", ["same_class", "other_class"])
def test_rows_in_order_are_in_a_batch_with_their_neighbors(partners: str) -> None:
    targets = torch.eye(4)[torch.arange(16) // 4]
    found = {}
    for shuffled in (False, True):
        sample = Sample(torch.zeros(16, 1), targets, shuffled)
        found[shuffled] = np.mean([*islice(shares_paired(partners, 4, sample), 2000)])
    expected = 1 - (12 / 15) * (11 / 14) * (10 / 13)  # that one of three others is of its class
    if partners == "other_class":
        expected = 1 - (3 / 15) * (2 / 14) * (1 / 13)
    assert found[False] == (partners == "same_class")
    assert found[True] == pytest.approx(expected, rel=0.03)
