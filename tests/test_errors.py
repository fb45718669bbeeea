"""Sentences for users, and how a program ends with one."""

import subprocess
import sys
import warnings

import pytest

from mixlab.config.explain import sentence
from mixlab.errors import Caution, UserError, counted, short_cautions


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


def as_python_does(message, category, filename, lineno, line=None) -> str:
    return f"{filename}:{lineno}: {category.__name__}: {message}\n  {line}\n"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings as Python shows them, whatever a command in this process has made of it."""
    monkeypatch.setattr(warnings, "formatwarning", as_python_does)


def test_our_warnings_are_one_line_in_a_command_and_others_as_python_has_them(shown: None) -> None:
    before = warnings.formatwarning
    short_cautions()
    once = warnings.formatwarning
    short_cautions()
    assert warnings.formatwarning is once is not before
    assert once(Caution("one\nrow"), Caution, "mixer.py", 3) == "warning: one row\n"
    other = (UserWarning("mine"), UserWarning, "mine.py", 3, "warn()")
    assert once(*other) == before(*other) == "mine.py:3: UserWarning: mine\n  warn()\n"


WARN = """
import warnings
from mixlab import commands
from mixlab.errors import Caution
class Module:
    def main(): warnings.warn("larger batches", Caution)
commands.import_module = lambda name: Module
{0}
Module.main()
"""


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("commands.start('train')", "warning: larger batches\n"),
        ("", "<string>:6: Caution: larger batches\n"),
    ],
)
def test_a_program_of_ones_own_has_pythons_warnings(first: str, said: str) -> None:
    words = [sys.executable, "-c", WARN.format(first)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stderr == said
