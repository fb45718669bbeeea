"""Torch's generators follow the address of the batch, whatever was drawn before."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mixlab.callbacks import Seeding
from mixlab.mixing import Address, Batch

MODULE: Any = SimpleNamespace(device=torch.device("cpu"))


def drawn(batch: Any, seed: int = 0, rank: int = 0, epoch: int = 0, number: int = 0) -> float:
    """What dropout would draw at the start of a batch."""
    trainer: Any = SimpleNamespace(global_rank=rank, current_epoch=epoch)
    torch.rand(17)  # a past
    Seeding(seed).on_train_batch_start(trainer, MODULE, batch, number)
    return torch.rand(()).item()


def addressed(*address: int) -> Batch:
    return Batch(torch.zeros(1), torch.zeros(1), Address(*address))


def test_the_same_address_draws_the_same() -> None:
    assert drawn(addressed(0, 0, 3, 5)) == drawn(addressed(0, 0, 3, 5))


def test_the_address_goes_before_lightnings_counters() -> None:
    assert drawn(addressed(0, 0, 3, 5)) == drawn(addressed(0, 0, 3, 5), seed=9, epoch=9, number=9)


def test_every_part_of_the_address_counts() -> None:
    ones = [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 0, 0, 0)]
    assert len({drawn(addressed(*address)) for address in ones}) == len(ones)


@pytest.mark.parametrize("part", ["seed", "rank", "epoch", "number"])
def test_other_batches_are_addressed_by_seed_rank_epoch_and_number(part: str) -> None:
    batch = [torch.zeros(1), torch.zeros(1)]
    assert drawn(batch) == drawn(batch) == drawn(addressed(0, 0, 0, 0))
    assert drawn(batch) != drawn(batch, **{part: 1})
