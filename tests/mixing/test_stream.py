"""Random numbers by address."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlab.mixing import Address, Purpose, stream, torch_seed

parts = st.integers(0, 2**32 - 1)


@given(st.tuples(parts, parts, parts, parts, parts))
def test_a_stream_is_numpys_default_generator_of_the_five_numbers(key: tuple[int, ...]) -> None:
    *address, purpose = key
    ours = stream(Address(*address), purpose).random(4)
    assert (ours == np.random.default_rng(key).random(4)).all()


def test_neighboring_addresses_draw_different_numbers() -> None:
    keys = list(product((0, 1, 2, 2**32 - 1), repeat=5))
    drawn = {stream(Address(*key[:4]), key[4]).integers(2**63) for key in keys}
    seeds = {torch_seed(Address(*key[:4]), key[4]) for key in keys}
    assert len(drawn) == len(seeds) == len(keys)
    assert all(0 <= seed < 2**64 for seed in seeds)


@pytest.mark.parametrize("bad", [-1, 2**32, 0.5])
@pytest.mark.parametrize("place", range(5))
def test_parts_that_would_collide_are_refused(bad: Any, place: int) -> None:
    key: list[Any] = [3] * 5
    key[place] = bad
    with pytest.raises(ValueError, match=rf"\[0, 2\*\*32\).*{bad}"):
        stream(Address(*key[:4]), key[4])
    with pytest.raises(ValueError, match=rf"\[0, 2\*\*32\).*{bad}"):
        torch_seed(Address(*key[:4]), key[4])
    with pytest.raises(ValueError, match="count rank, epoch and batch from 0, and choose a seed"):
        stream(Address(*key[:4]), key[4])


def test_an_address_has_four_parts() -> None:
    with pytest.raises(ValueError, match="address"):
        stream((1, 2, 3), Purpose.MIXING)  # pyright: ignore[reportArgumentType]


def test_the_numbers_of_the_purposes_never_change() -> None:
    numbers = {"ORDER": 0, "AUGMENT": 1, "TRANSFORM": 2, "DROPOUT": 3, "GUESTS": 4, "SPLIT": 5}
    numbers |= {"PREVIEW": 6, "LABEL_NOISE": 7, "FRACTION": 8, "PARTNERS": 9, "SEARCH": 10}
    numbers |= {"STRENGTH": 11, "LAYER": 20, "MIX_BLOCK": 21, "MIXING": 1000}
    assert {name: purpose.value for name, purpose in Purpose.__members__.items()} == numbers
    assert list(numbers.values()) == sorted({*numbers.values()}), "two purposes draw the same"
    assert Purpose.MIXING == max(Purpose)  # the k-th callback draws for MIXING + k
