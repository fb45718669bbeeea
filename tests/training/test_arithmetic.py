"""Two ranks with B rows each are one process with 2B rows, up to the order of summation.

Draws are addressed by rank, so the one process is given the batches that both ranks have mixed.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.two_ranks import CASES, ROWS, joined_steps, trained, two_ranks

# Sums of float32 in another order: each gradient differs by some 1e-7 of its largest entry, and a
# few steps of plain SGD with momentum add such differences up.
RELATIVE, ABSOLUTE = 1e-5, 1e-6
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("ranks")
    return folder, two_ranks(folder)


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_are_one_process(ranks: tuple[Path, list[dict[str, Any]]], name: str) -> None:
    folder, found = ranks
    both = [rank[name] for rank in found]
    steps = joined_steps([rank["steps"] for rank in both])
    sizes = [len(images) for images, _ in steps[0]]
    assert sum(sizes) == ROWS and sizes[-1] % 2 == 1, "the last batch is dealt unevenly"
    one = trained(folder, name, steps)
    for key, value in one["weights"].items():
        assert torch.equal(both[0]["weights"][key], both[1]["weights"][key])
        torch.testing.assert_close(both[0]["weights"][key], value, rtol=RELATIVE, atol=ABSOLUTE)
    figures = [key for key in one if key.startswith(("train/", "val/", "test/"))]
    assert len(figures) >= 6
    for key in figures:
        assert both[0][key] == pytest.approx(one[key], rel=RELATIVE), key
    assert both[0]["class"] == one["class"] and one["class"]
