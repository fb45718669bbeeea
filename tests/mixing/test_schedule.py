"""Schedules of the probability."""

import pytest

from mixlab.mixing import Policy
from mixlab.mixing.schedule import mean_factor, schedule_from


@pytest.mark.parametrize(
    ("spec", "factors"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [1, 0.853553, 0.5, 0.146447, 0]),
        ({"off_after": 0.75}, [1, 1, 1, 0, 0]),
        ({"off_after": 1}, [1, 1, 1, 1, 0]),
    ],
)
def test_factors_at_the_quarters_of_training(spec: object, factors: list[float]) -> None:
    schedule = schedule_from(spec)
    assert [schedule(quarter / 4) for quarter in range(5)] == pytest.approx(factors, abs=1e-6)
    mean = sum(schedule((step + 0.5) / 1000) for step in range(1000)) / 1000
    assert mean_factor(spec) == pytest.approx(mean)


def test_the_rate_is_probability_times_schedule() -> None:
    assert Policy(0.5, schedule="linear").rate(0.25) == 0.375
    assert Policy(0.5, schedule={"off_after": 0.5}).rate(0.5) == 0


@pytest.mark.parametrize(("progress", "rate"), [(-0.1, 1), (1.2, 0)])
def test_progress_beyond_the_training_counts_as_its_end(progress: float, rate: float) -> None:
    assert Policy(schedule="linear").rate(progress) == rate
