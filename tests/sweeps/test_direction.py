"""More or less of a metric is better."""

import pytest

from helpers.small_runs import composed
from mixlab.errors import UserError
from mixlab.sweeps.direction import direction_of

CFG = ("metrics=[f1,calibration]",)


@pytest.mark.parametrize(
    "metric, direction",
    [
        ("val/loss", "minimize"),
        ("val/accuracy", "maximize"),
        ("val/f1", "maximize"),
        ("val/ece", "minimize"),
    ],
)
def test_the_metric_says_so_itself(metric: str, direction: str) -> None:
    cfg = composed(*CFG)
    assert direction_of(cfg, metric, None) == direction == direction_of(cfg, metric, direction)
    other = {"minimize": "maximize", "maximize": "minimize"}[direction]
    with pytest.raises(UserError, match=f"direction={other}, but .*{direction}"):
        direction_of(cfg, metric, other)


def test_somebody_has_to_say_it() -> None:
    cfg = composed(*CFG)
    assert direction_of(cfg, "val/mine", "minimize") == "minimize"
    with pytest.raises(UserError, match="hydra.sweeper.direction=maximize or minimize"):
        direction_of(cfg, "val/mine", None)
