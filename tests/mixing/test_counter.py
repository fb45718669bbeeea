"""Batches numbered by counting calls, in one process and in the workers of a loader."""

import copy
import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from mixlab.mixing import Address
from mixlab.mixing.counter import CallCounter


class Addresses:
    """A collate function that returns the address that it would mix at, and the rows."""

    def __init__(self, counter: CallCounter) -> None:
        self.counter = counter

    def __call__(self, rows: list[int]) -> tuple[Address, list[int]]:
        return self.counter.next_address(), rows


def loader(counter: CallCounter, workers: int, persistent: bool = False) -> DataLoader:
    return DataLoader(
        range(20), batch_size=4, num_workers=workers, collate_fn=Addresses(counter),  # pyright: ignore
        persistent_workers=persistent, timeout=60 if workers else 0,
    )  # fmt: skip


def test_calls_of_one_process_are_batches() -> None:
    counter = CallCounter(seed=3, rank=2)
    assert counter.epoch is None
    assert [counter.next_address() for _ in range(2)] == [Address(3, 2, 0, 0), Address(3, 2, 0, 1)]
    counter.set_epoch(5)
    assert counter.next_address() == Address(3, 2, 5, 0) and counter.epoch == 5
    assert counter.next_address() == Address(3, 2, 5, 1)
    counter.set_epoch(5)
    assert counter.next_address() == Address(3, 2, 5, 0), "the epoch begins again"


def test_the_seed_is_torchs_when_it_is_made() -> None:
    torch.manual_seed(11)
    counter = CallCounter()
    torch.manual_seed(12)
    assert counter.next_address() == Address(11, 0, 0, 0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_counts_for_itself(copied) -> None:
    counter = CallCounter(seed=3)
    counter.set_epoch(1)
    other = copied(counter)
    other.set_epoch(2)
    other.next_address()
    assert counter.next_address() == Address(3, 0, 1, 0)
    assert other.next_address() == Address(3, 0, 2, 1)


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True), (1, True)])
def test_with_an_epoch_addresses_do_not_depend_on_the_workers(
    workers: int, persistent: bool
) -> None:
    counter = CallCounter(seed=3, rank=1)
    batches = loader(counter, workers, persistent)
    for epoch in (0, 1, 4):
        counter.set_epoch(epoch)
        found = list(batches)
        assert [address for address, _ in found] == [Address(3, 1, epoch, n) for n in range(5)]
        assert [rows[0] for _, rows in found] == [0, 4, 8, 12, 16]


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_without_an_epoch_no_address_repeats(workers: int, persistent: bool) -> None:
    torch.manual_seed(0)
    batches = loader(CallCounter(seed=3), workers, persistent)
    found = [address for _ in range(3) for address, _ in batches]
    assert len(set(found)) == len(found) == 15


def test_without_an_epoch_workers_follow_torchs_seed() -> None:
    def found(seed: int) -> list[Address]:
        torch.manual_seed(seed)
        return [address for address, _ in loader(CallCounter(seed=3), 2)]

    assert found(0) == found(0) and set(found(0)).isdisjoint(found(1))


@pytest.mark.parametrize("knob", [{"seed": -1}, {"seed": 2**32}, {"rank": 0.5}])
def test_seeds_that_cannot_be(knob: dict) -> None:
    with pytest.raises(ValueError, match="(seed|rank) must be an integer from 0"):
        CallCounter(**knob)
    with pytest.raises(ValueError, match="epoch must be an integer .*, got -1; count the epochs"):
        CallCounter(seed=0).set_epoch(-1)


def test_workers_that_live_already_see_the_first_epoch() -> None:
    counter = CallCounter(seed=3)
    batches = loader(counter, 2, persistent=True)
    assert len(list(batches)) == 5
    counter.set_epoch(1)
    assert [address for address, _ in batches] == [Address(3, 0, 1, n) for n in range(5)]
