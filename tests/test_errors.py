"""Sentences for users, and how a program ends with one."""

import subprocess
import sys

import pytest

from mixlab.config.explain import sentence
from mixlab.errors import UserError, counted


@pytest.mark.parametrize(("number", "words"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs")])
def test_one_is_not_several(number: int, words: str) -> None:
    assert counted(number, "run") == words


def test_an_error_of_a_loader_worker_is_its_last_line() -> None:
    text = "Caught BadItem in DataLoader worker process 0.\nTraceback:\nmixlab.BadItem: row 1\n"
    assert sentence(UserError(text)) == "row 1"


def test_a_reader_may_leave() -> None:
    """As `mixlab-compare ... | head` does."""
    code = (
        "from mixlab.errors import one_sentence\n"
        "with one_sentence('x'):\n"
        "    for _ in range(100_000): print('a line')"
    )
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr and process.stdout.readline() == b"a line\n"
        process.stdout.close()
        assert process.wait(30) == 141 and process.stderr.read() == b""
