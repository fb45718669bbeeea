"""The batch that a training loader yields."""

import pytest
import torch

from mixlab.mixing import Address, Batch, Guests


def test_a_batch_unpacks_into_images_and_targets() -> None:
    batch = Batch(torch.zeros(2, 1), torch.ones(2), Address(0), torch.arange(2))
    images, targets = batch
    assert images is batch.images and targets is batch.targets


def test_pinning_pins_every_tensor_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)  # needs a GPU
    batch = Batch(
        torch.zeros(2), torch.zeros(2), Address(7), None, Guests(torch.zeros(3), torch.zeros(3))
    )
    pinned = batch.pin_memory()
    assert pinned is not batch and pinned.address == Address(7) and pinned.index is None
    assert pinned.images.sum() == 2 and pinned.targets.sum() == 2
    assert pinned.guests is not None and pinned.guests.images.sum() == 3
    assert batch.images.sum() == 0
