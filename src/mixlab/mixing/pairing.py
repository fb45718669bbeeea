"""How many rows find a partner other than themselves, rule by rule."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from mixlab.mixing.partners import (
    ACROSS_RANKS,
    CONFUSABLE,
    PartnerRule,
    drawn_columns,
    rule_from,
)
from mixlab.mixing.sample import Sample
from mixlab.mixing.stream import Address, Purpose, stream

MAY_MEET_ITSELF = ("permutation", ACROSS_RANKS)  # a row is its own partner once in a batch
BY_PLACE = ("derangement", "cyclic", "reverse")  # so may one that has no other row to meet
BY_CLASS = ("same_class", "other_class", CONFUSABLE)  # a batch may have no row of such a class


def chance_of_itself(partners: str | PartnerRule, batch_rows: int, num_partners: int = 1) -> float:
    """The chance that a row is its own partner, where that does not depend on the rows."""
    if partners in MAY_MEET_ITSELF:
        return 1 / batch_rows
    if partners not in BY_PLACE:
        return 0.0
    rows, rng = torch.empty(batch_rows, 0, device="cpu"), stream(Address(0), Purpose.STRENGTH)
    columns = drawn_columns(rule_from(partners), rows, rows, rng, batch_rows, num_partners)
    return float((columns.T == np.arange(batch_rows)).mean())


def shares_paired(partners: Any, batch_rows: int, sample: Sample) -> Iterator[float]:
    """The share of the rows with a partner under a rule of `BY_CLASS`, in batch after batch."""
    rule = rule_from("other_class" if partners == CONFUSABLE else partners)
    rng = stream(Address(0), Purpose.STRENGTH)
    for rows in sample.batches(batch_rows, rng):
        targets = sample.targets[torch.from_numpy(rows)]
        yield float((rule(targets, targets, rng, len(rows)) != np.arange(len(rows))).mean())
