"""Numbers in sentences."""

import pytest

from mixlab.config.explain import sentence
from mixlab.errors import UserError, counted


@pytest.mark.parametrize(("number", "words"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs")])
def test_one_is_not_several(number: int, words: str) -> None:
    assert counted(number, "run") == words


def test_an_error_of_a_loader_worker_is_its_last_line() -> None:
    text = "Caught BadItem in DataLoader worker process 0.\nTraceback:\nmixlab.BadItem: row 1\n"
    assert sentence(UserError(text)) == "row 1"
