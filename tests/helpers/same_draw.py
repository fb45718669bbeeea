"""One batch, and the draws of our methods in the form in which other libraries take them."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mixlab.mixing import Blend, Boxes, Method

ROWS, SIZE = 8, (13, 10)
IMAGES = torch.rand(ROWS, 3, *SIZE, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(ROWS)
ONE_HOT = torch.eye(ROWS)
ROUNDING = {"rtol": 0.0, "atol": 1.2e-7}  # the distance of float32 numbers just above one
SEEDS = range(20)


def draws(method: Method, partners: str = "permuted") -> Iterator[Blend]:
    """A blend of the batch for each of SEEDS; partners are `permuted`, `cyclic` or `reverse`."""
    rows = np.arange(ROWS)
    fixed = {"cyclic": np.roll(rows, 1), "reverse": rows[::-1].copy()}
    for seed in SEEDS:
        chosen = fixed.get(partners, np.random.default_rng(seed + 1000).permutation(ROWS))
        yield method(IMAGES, ONE_HOT, np.random.default_rng(seed), chosen)


def shares(alpha: float, per_row: bool = True) -> Iterator[np.ndarray]:
    """What a method of one alpha draws first for each of SEEDS: own shares (ROWS,), or (1,)."""
    for seed in SEEDS:
        yield np.random.default_rng(seed).beta(alpha, alpha, size=ROWS if per_row else 1)


def edges_of(blend: Blend) -> Tensor:
    """(B, 4) int64: top, bottom, left and right of the box of each row."""
    assert isinstance(blend.mask, Boxes)
    return blend.mask.edges.expand(blend.num_rows, 4)


def assert_same(theirs: tuple[Tensor, Tensor], blend: Blend, exact: bool = False) -> None:
    """Fail unless images and labels of another library are those of the blend.

    Labels, and images unless they are `exact`, may differ by one rounding.
    """
    images, labels = blend.mix(IMAGES, ONE_HOT)
    torch.testing.assert_close(theirs[0], images, **({"rtol": 0, "atol": 0} if exact else ROUNDING))
    torch.testing.assert_close(theirs[1].to(labels), labels, **ROUNDING)
