"""Numbers in sentences."""

import pytest

from mixlab.errors import counted


@pytest.mark.parametrize(("number", "words"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs")])
def test_one_is_not_several(number: int, words: str) -> None:
    assert counted(number, "run") == words
