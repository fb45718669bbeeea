"""The global generators, which are the only ones that some libraries use."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def set_generators(seed: int) -> None:
    """Set the global generators of torch (CPU), numpy and Python; `seed` is in [0, 2**64)."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def private_generators() -> Iterator[None]:
    """Restore the global generators at the end."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
