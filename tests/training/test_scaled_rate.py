"""`lr_base_size`: a learning rate that is meant for so many rows, and synchronized statistics."""

from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from helpers.small_runs import composed
from mixlab.checks import DURATION, duration, seconds_of
from mixlab.errors import UserError
from mixlab.training.banner import optimizer_words
from mixlab.training.build import check_synchronized
from mixlab.training.model import with_scaled_rate

SGD = ("optimizer=sgd", "optimizer.lr=0.1", "data.batch_size=512")


def test_the_rate_grows_with_the_rows_of_a_step() -> None:
    assert with_scaled_rate(composed(*SGD))["lr"] == 0.1
    assert with_scaled_rate(composed(*SGD, "lr_base_size=256"))["lr"] == pytest.approx(0.2)
    twice = composed(*SGD, "lr_base_size=256", "trainer.accumulate_grad_batches=2")
    assert with_scaled_rate(twice)["lr"] == pytest.approx(0.4)
    assert "lr=0.4" in optimizer_words(twice)
    assert optimizer_words(twice).endswith("; lr is 0.1 for 256 rows, times 1024 / 256")
    assert ";" not in optimizer_words(composed(*SGD))


def test_it_needs_a_rate() -> None:
    cfg = OmegaConf.create({"optimizer": {"_target_": "x"}, "lr_base_size": 256})
    with pytest.raises(UserError, match="lr_base_size=256 scales optimizer.lr, which is None"):
        with_scaled_rate(cfg)


@pytest.mark.parametrize(
    ("kind", "processes", "fine"), [("cpu", 1, True), ("cuda", 2, True), ("cpu", 2, False)]
)
def test_cpus_synchronize_no_statistics(kind: str, processes: int, fine: bool) -> None:
    device = SimpleNamespace(root_device=SimpleNamespace(type=kind))
    trainer: Any = SimpleNamespace(world_size=processes, strategy=device)
    check_synchronized(trainer, composed())
    cfg = composed("trainer.sync_batchnorm=true")
    if fine:
        check_synchronized(trainer, cfg)
    else:
        with pytest.raises(UserError, match="sync_batchnorm=true needs GPUs"):
            check_synchronized(trainer, cfg)


@pytest.mark.parametrize(
    ("given", "seconds", "words"),
    [("90s", 90, "90 s"), ("5min", 300, "5 min"), ("1h", 3600, "1 h"), (2.5, 2.5, "2.5 s"),
     ("1.5 h", 5400, "90 min"), (60, 60, "1 min")],
)  # fmt: skip
def test_times(given: Any, seconds: float, words: str) -> None:
    assert seconds_of(given) == seconds and duration(seconds) == words


@pytest.mark.parametrize("given", ["5 minutes", "-3", -3, 0, "0s", "", "min", True, "1e3", [1]])
def test_no_times(given: Any) -> None:
    with pytest.raises(UserError, match="rank_timeout must be a time above 0 as 90s, 5min or 1h"):
        DURATION.check("rank_timeout", given)
