"""Short runs trained twice are equal to the bit, and a difference of one bit is found."""

from copy import deepcopy
from pathlib import Path

import pytest

from helpers.recorded_runs import DIGITS, differences, written_down


@pytest.mark.slow
@pytest.mark.parametrize("name", ["averaged", "two_ranks"])
def test_a_run_trained_twice_is_equal_to_the_bit(tmp_path: Path, name: str) -> None:
    once, again = ({name: written_down(DIGITS[name], tmp_path)} for _ in range(2))
    assert len(once[name]["losses"]) == 24 and {"last.ckpt", "best.ckpt"} <= set(once[name])
    assert differences(once, again) == []
    other = deepcopy(once)
    other[name]["losses"][3] += "1"
    assert differences(other, again) == [f"{name}: losses differs"]


@pytest.mark.slow
def test_a_stop_half_way_changes_nothing(tmp_path: Path) -> None:
    words = DIGITS["resumed"]
    once = {"run": written_down(words, tmp_path)}
    assert differences(once, {"run": written_down(words, tmp_path, interrupt=True)}) == []
    other = {"run": written_down((*words, "mixing.method.alpha=0.3"), tmp_path)}
    assert "run: losses differs" in differences(once, other)
