"""Random numbers by address: what is drawn for a batch depends on where it stands, nothing else.

A stream has no past, so nothing random is saved, ranks differ on purpose, a resumed run draws what
an uninterrupted one would have drawn, and any batch of a finished run can be drawn again.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Address(NamedTuple):
    """Where a batch stands; every part is a whole number in [0, 2**32)."""

    seed: int
    rank: int = 0
    epoch: int = 0
    batch: int = 0


class Purpose(IntEnum):
    """What numbers are drawn for. Results depend on the values: add some, never change one."""

    ORDER = 0  # order of the rows in an epoch
    AUGMENT = 1  # batched augmentation on the device
    TRANSFORM = 2  # per-image transforms of other libraries, in the loader
    DROPOUT = 3  # torch's own generators during the training step
    GUESTS = 4  # which rows beyond the batch may feed it
    SPLIT = 5  # validation split
    PREVIEW = 6  # which rows a picture shows
    MIXING = 1000  # the k-th mixing callback draws for MIXING + k, so this stays the largest


def stream(address: Address, purpose: int) -> np.random.Generator:
    """The generator of `address` for `purpose` (a `Purpose`, or `Purpose.MIXING + k`).

    It is numpy's `default_rng((seed, rank, epoch, batch, purpose))`. Raises ValueError unless these
    are five numbers in [0, 2**32): of shorter and longer keys some would collide.
    """
    return np.random.default_rng(_key(address, purpose))


def torch_seed(address: Address, purpose: int) -> int:
    """A seed in [0, 2**64) for `torch.default_generator.manual_seed`, from the same numbers."""
    state = np.random.SeedSequence(_key(address, purpose)).generate_state(1, np.uint64)
    return int(state[0])


def _key(address: Address, purpose: int) -> np.ndarray:
    key = (*address, purpose)
    if len(key) != 5 or min(key) < 0 or max(key) >= 2**32:
        wanted = "an address and its purpose must be five numbers in [0, 2**32)"
        raise ValueError(f"{wanted}, got {address!r} and {purpose!r}; choose a smaller seed")
    return np.array(key, dtype=np.uint32)  # the same stream as of the tuple, in 2/3 of the time
