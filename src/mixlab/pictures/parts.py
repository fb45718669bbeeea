"""What drawn rows are made of: the sources of each, and what these count in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixlab.mixing import Blend
from mixlab.mixing.masks import Mask, painted

INKS = torch.tensor([(47, 102, 144), (222, 120, 31), (88, 152, 70), (142, 94, 162)]) / 255
WHOSE_COLOR = "blue from the row, orange from its partner"
CLOSE_ENOUGH = 0.01  # of the range of the rows: what 16 bits may round


class SourcePart(NamedTuple):
    """What a drawn row has of one of its sources.

    Attributes:
        seen: (*S), the source as it lies in the row.
        weight: (*S), what it counts there, in [0, 1].
        ink: its color in `INKS`: 0 of the row itself, 1, 2, ... of its partners.
    """

    seen: Tensor
    weight: Tensor
    ink: int


Parts = Sequence[Sequence[SourcePart]]  # of each row


def unmixed(rows: Tensor, inks: Sequence[int]) -> Parts:
    """Of rows (N, *S), each all of itself in one of the colors."""
    rows = rows.detach().float().cpu()
    return [
        [SourcePart(row, torch.ones_like(row), ink)] for row, ink in zip(rows, inks, strict=True)
    ]


def parts_of(blend: Blend, rows: Tensor, mixed: Tensor) -> Parts:
    """Of the first mixtures (N, *S) that `blend` makes of rows (R, *S).

    Rows that are no such mixtures are all of themselves: a network mixes their features.
    """
    mixed, first = mixed.detach().float().cpu(), slice(0, len(mixed))
    views = [blend.view(rows, k, first).detach().float().cpu() for k in range(blend.num_sources)]
    seen = torch.stack(views, 1)
    weight = weights_of(blend.mask, seen)
    low, high = seen.aminmax()
    error = ((seen * weight).sum(1) - mixed).abs().max()
    if error > CLOSE_ENOUGH * (high - low):
        return unmixed(mixed, [0] * len(mixed))
    inks = map(inks_of, blend.source[first].tolist())
    return [
        [SourcePart(*each) for each in zip(*row, strict=True)]
        for row in zip(seen, weight, inks, strict=True)
    ]


def weights_of(mask: Mask, seen: Tensor) -> Tensor:
    """The mask at each number of the sources (N, K, *S) of the first N rows."""
    weight = painted(mask, "cpu").float()[: len(seen)]
    rows, sources, *size = weight.shape
    ones = [1] * (seen.ndim - weight.ndim)
    return weight.reshape(rows, sources, *ones, *size).expand_as(seen)


def inks_of(source: Sequence[int]) -> list[int]:
    """The color of each source: a row that feeds a mixture twice has one, the last serves many."""
    known = list(dict.fromkeys(source))
    return [min(known.index(row), len(INKS) - 1) for row in source]


def inks(parts: Sequence[SourcePart]) -> list[int]:
    return [part.ink for part in parts]


def scaled(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Values from 0 to 1 between the ends of their range; where there is no range, 0."""
    return ((values - low) / (high - low).clamp_min(1e-12)).nan_to_num().clamp(0, 1)


def added(parts: Sequence[SourcePart], first: Any, ends: tuple[Tensor, Tensor]) -> Tensor:
    """(K, ...): what each part adds to the `first` numbers of a row, scaled between their ends."""
    return torch.stack([part.weight[first] * scaled(part.seen[first], *ends) for part in parts])


def on_paper(strength: Tensor, inks: Sequence[int]) -> Tensor:
    """(..., 3) uint8: white paper, on which each of K inks has a strength (K, ...) in [0, 1]."""
    taken = torch.einsum("k...,kc->...c", strength.float(), 1 - INKS[list(inks)])
    return ((1 - taken).clamp(0, 1) * 255).round().to(torch.uint8)
