"""The moving average: its formula, and that a short training is not lost in it."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from helpers.small_runs import small
from mixlab.callbacks import EMA
from mixlab.training.supervise import train


def test_the_average_warms_up_to_its_decay() -> None:
    network = nn.Linear(1, 1, bias=False)
    averaged = AveragedModel(network, **EMA(decay=0.25)._kwargs)
    values, expected = [1.0, 2.0, 5.0, -3.0], 1.0
    for number, value in enumerate(values):
        nn.init.constant_(network.weight, value)
        averaged.update_parameters(network)
        kept = min(0.25, (1 + number) / (10 + number))
        expected = value if number == 0 else kept * expected + (1 - kept) * value
    torch.testing.assert_close(averaged.module.weight.item(), expected)


def test_a_short_training_is_not_lost(tmp_path: Path) -> None:
    words = ("mixing=none", "trainer.max_epochs=8", "trainer.limit_train_batches=1.0")
    plain, averaged = (
        train(small(tmp_path, *words, f"callbacks={name}"))["last"]["test/accuracy"]
        for name in ("default", "ema")
    )
    assert averaged > plain - 0.1 and plain > 0.3


@pytest.mark.parametrize("decay", [1, -0.1, 2, "much"])
def test_decays_that_cannot_be(decay: float) -> None:
    with pytest.raises(ValueError, match=r"callbacks.ema.decay must be a number in \[0, 1\)"):
        EMA(decay)
