"""Errors that a user can fix: one sentence on standard error and exit status 2."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(ValueError):
    """Something that a user can fix. The message says what is wrong and what to do."""


def print_error(program: str, sentence: str) -> None:
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
        print_error(program, str(error))
        sys.exit(2)


NO_CHOICE = "Config group override must be"  # as Hydra answers logger=null


HYDRAS = (NO_CHOICE, "Only one of --run")  # its ValueErrors that are the user's to mend


PACKAGE = Path(__file__).resolve().parent


def exit_status(error: Exception) -> int:
    """The exit status: 3 of a diverged run, 2 where a user can mend it, 128 + n after signal n."""
    if own := getattr(error, "exit_status", None):
        return own
    signum = getattr(error, "signum", None)
    return 128 + signum if signum else 2 if is_user_error(error) else 1


def is_user_error(error: BaseException) -> bool:
    """Whether the message was written for users: by our own code, Hydra or Lightning's checks."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if isinstance(error, (HydraException, OmegaConfBaseException, YAMLError)):
        return True
    if type(error).__name__ in ("MisconfigurationException", "Interrupted"):
        return True
    if isinstance(error, ValueError) and any(text in str(error) for text in HYDRAS):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and Path(frames[-1].filename).resolve().is_relative_to(PACKAGE)
    return ours and isinstance(error, (ValueError, OSError, RuntimeError))


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}{'s' * (number != 1)}"
