"""Random numbers by address: the draws for a batch depend on its position and nothing else.

A stream has no history, so no random state is saved, ranks differ on purpose, a resumed run draws
the same as an uninterrupted one, and any batch of a finished run can be drawn again.
"""

from enum import IntEnum, unique
from functools import lru_cache
from operator import index
from typing import Any, NamedTuple

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.random.bit_generator import ISeedSequence

from mixlab.errors import UserError

LOOK_AHEAD = 32  # batches whose seeds are made at once; it divides 2**32


class Address(NamedTuple):
    """The position of a batch; every part is a whole number in [0, 2**32)."""

    seed: int
    rank: int = 0
    epoch: int = 0
    batch: int = 0


@unique
class Purpose(IntEnum):
    """What numbers are drawn for. Results depend on the values: add new ones, never change one."""

    ORDER = 0  # order of the rows in an epoch
    AUGMENT = 1  # batched augmentation on the device
    TRANSFORM = 2  # per-image transforms of other libraries, in the loader
    DROPOUT = 3  # torch's own generators during the training step
    GUESTS = 4  # which rows beyond the batch may feed it
    SPLIT = 5  # validation split
    PREVIEW = 6  # which rows a picture shows
    LABEL_NOISE = 7  # which labels are wrong, and what they say
    FRACTION = 8  # which training rows are used
    PARTNERS = 9  # who is mixed with whom in the rows of all ranks
    SEARCH = 10  # what a search tries next; its trials are trained at other seeds than sweeps
    STRENGTH = 11  # how much a method mixes on average
    LAYER = 20  # at which layer of a network a batch is mixed
    MIX_BLOCK = 21  # which pairs train a learned mixer, and its initial weights
    MIXING = 1000  # the k-th mixing callback draws for MIXING + k, so this stays the largest


def stream(address: Address, purpose: int) -> Generator:
    """The generator of `address` for `purpose` (a `Purpose`, or `Purpose.MIXING + k`).

    It is numpy's `default_rng((seed, rank, epoch, batch, purpose))`. Raises ValueError unless these
    are five whole numbers in [0, 2**32): of shorter and longer keys some would collide.
    """
    seed: Any = _Seed(_words(address, purpose))  # numpy's stubs know only its own sequences
    return Generator(PCG64(seed))


def torch_seed(address: Address, purpose: int) -> int:
    """A seed in [0, 2**64) for `torch.default_generator.manual_seed`, from the same numbers."""
    return int(_words(address, purpose)[0])


class _Seed(ISeedSequence):
    """A seed sequence whose words are already computed."""

    def __init__(self, words: np.ndarray) -> None:
        self.words = words

    def generate_state(self, n_words: int, dtype: type = np.uint64) -> np.ndarray:
        return self.words


def _words(address: Address, purpose: int) -> np.ndarray:
    """uint64 (4,): what numpy's SeedSequence makes of the five numbers."""
    # Transforms pass row numbers, which come in any order; batches come one after another.
    ahead = 1 if purpose == Purpose.TRANSFORM else LOOK_AHEAD
    try:
        seed, rank, epoch, batch = address
        return _seed_block(seed, rank, epoch, batch // ahead, purpose, ahead)[batch % ahead]
    except (OverflowError, ValueError, TypeError, IndexError):
        wanted = "an address and its purpose must be five whole numbers in [0, 2**32)"
        remedy = "count rank, epoch and batch from 0, and choose a seed below 2**32"
        raise UserError(f"{wanted}, got {address!r} and {purpose!r}; {remedy}") from None


@lru_cache(maxsize=64)
def _seed_block(
    seed: int, rank: int, epoch: int, block: int, purpose: int, ahead: int
) -> np.ndarray:
    """uint64 (ahead, 4): the words of as many batches in a row.

    Made one at a time between training steps, each would find numpy's code evicted from the
    processor's cache and take twenty times as long.
    """
    words = np.empty((ahead, 4), dtype=np.uint64)
    first = index(block) * ahead
    for number in range(ahead):
        parts = (index(seed), index(rank), index(epoch), first + number, index(purpose))
        key = np.array(parts, dtype=np.uint32)
        words[number] = SeedSequence(key).generate_state(4, np.uint64)
    return words
