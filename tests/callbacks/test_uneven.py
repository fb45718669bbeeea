"""The gradient of several ranks is that of the mean over all their rows."""

from typing import Any
from unittest.mock import Mock

import pytest
import torch

from mixlab.callbacks.uneven import UnevenBatches, rank_weight
from mixlab.mixing import Address, Batch


def batch(rows: int, of: int | None, rank: int = 0) -> Batch:
    images = torch.zeros(rows, 1, 2, 2)
    return Batch(images, torch.zeros(rows), Address(0, rank), global_rows=of)


def gradient(dealt: list[Batch], values: list[torch.Tensor]) -> torch.Tensor:
    """The mean over ranks of the gradient of each rank's mean of squares."""
    world_size, found = len(dealt), []
    for each, value in zip(dealt, values, strict=True):
        trainer: Any = Mock(world_size=world_size)
        callback, weight = UnevenBatches(), torch.tensor(3.0, requires_grad=True)
        callback.on_train_batch_start(trainer, Mock(), each, 0)
        loss = ((weight * value) ** 2).mean()
        before = loss.item()
        callback.on_before_backward(trainer, Mock(), loss)
        loss.backward()
        assert loss.item() == before, "the figure is that of the rank's rows"
        assert weight.grad is not None
        found.append(weight.grad)
    return torch.stack(found).mean()


@pytest.mark.parametrize(("rows", "ranks"), [(11, 2), (11, 4), (12, 4), (3, 4), (1, 2)])
def test_an_uneven_deal_has_the_gradient_of_all_rows(rows: int, ranks: int) -> None:
    values = torch.arange(1.0, rows + 1)
    dealt = [values[rank % rows :: ranks] for rank in range(ranks)]
    batches = [batch(len(part), rows, rank) for rank, part in enumerate(dealt)]
    whole = torch.tensor(3.0, requires_grad=True)
    ((whole * values) ** 2).mean().backward()
    assert gradient(batches, dealt).item() == pytest.approx(whole.grad.item(), rel=1e-6)  # pyright: ignore


def test_where_nothing_is_known_or_all_are_alike_nothing_is_multiplied() -> None:
    assert rank_weight(batch(4, None), 3) == 1 and rank_weight([1, 2], 3) == 1
    loss = Mock()
    callback = UnevenBatches()
    callback.on_train_batch_start(Mock(world_size=2), Mock(), batch(6, 12), 0)
    callback.on_before_backward(Mock(), Mock(), loss)
    assert not loss.register_hook.called


def test_only_rows_of_others_count_nothing() -> None:
    assert batch(1, 3, rank=3).is_repeat and not batch(1, 3, rank=2).is_repeat
    assert rank_weight(batch(1, 3, rank=3), 4) == 0
    assert (
        not batch(1, None, rank=3).is_repeat and not Batch(torch.zeros(1), torch.zeros(1)).is_repeat
    )
