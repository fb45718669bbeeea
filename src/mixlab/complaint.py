"""One sentence on standard error, and status 2: what a command says where its user can mend it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


def say(program: str, sentence: str) -> None:
    """Print a sentence on one line, without what a terminal would obey: names come from files."""
    text = f"{program}: {' '.join(sentence.split())}"
    shown = "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)
    print(shown, file=sys.stderr, flush=True)


@contextmanager
def one_sentence(program: str) -> Iterator[None]:
    """Within, an error of value or file ends the program with its sentence and status 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        say(program, str(error))
        sys.exit(2)
