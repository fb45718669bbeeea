"""A loss that is no number never reaches the weights."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.small_runs import Plain, loader_of_lists, trainer
from mixlab.callbacks import Diverged, StopOnDivergence
from mixlab.errors import exit_status, is_user_error


class Diverging(Plain):
    """Loss and gradients take a value, at one batch of one epoch."""

    def __init__(self, value: float, at: tuple[int, int], manual: bool = False) -> None:
        super().__init__()
        self.value, self.at = value, at
        self.automatic_optimization = not manual

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        if (self.current_epoch, batch_idx) == self.at:
            loss = loss * self.value
        if not self.automatic_optimization:
            self.optimizers().zero_grad()
            self.manual_backward(loss)
            self.optimizers().step()
        return loss


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [(0, 0), (1, 3)], ids=["first", "last"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_step_is_never_taken(
    tmp_path: Path, value: float, at: tuple[int, int], accumulate: int
) -> None:
    module, run = Diverging(value, at), None
    run = trainer(tmp_path, StopOnDivergence(), accumulate_grad_batches=accumulate)
    steps = (4 * at[0] + at[1]) // accumulate
    where = f"in epoch {at[0] + 1} at step {steps}$"
    with pytest.raises(Diverged, match=f"became {value} {where}") as end:
        run.fit(module, loader_of_lists())
    assert run.global_step == steps
    assert all(weights.isfinite().all() for weights in module.parameters())
    assert exit_status(end.value) == 3 and is_user_error(end.value)


def test_without_it_the_weights_are_lost(tmp_path: Path) -> None:
    module = Diverging(math.nan, (0, 1))
    trainer(tmp_path).fit(module, loader_of_lists())
    assert not any(weights.isfinite().all() for weights in module.parameters())


def test_in_a_loop_that_a_module_writes_itself(tmp_path: Path) -> None:
    module = Diverging(math.nan, (1, 1), manual=True)
    with pytest.raises(Diverged, match="at step 5"):
        trainer(tmp_path, StopOnDivergence()).fit(module, loader_of_lists())
    assert all(weights.isfinite().all() for weights in module.parameters())


def test_weights_that_overflow_are_not_saved(tmp_path: Path) -> None:
    run = trainer(tmp_path, StopOnDivergence(), max_epochs=1)
    module = Plain()
    run.fit(module, loader_of_lists())
    run.save_checkpoint(tmp_path / "last.ckpt")
    with torch.no_grad():
        module.network[1].weight[3, 3] = math.inf
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(Diverged, match="network.1.weight is not finite any more in epoch 2"):
        run.save_checkpoint(tmp_path / "last.ckpt")
    assert (tmp_path / "last.ckpt").read_bytes() == before
