"""Errors that a user can fix: one sentence on standard error and exit status 2.

Everything else is a defect, ours or of a user's own code: it keeps its traceback, and exits with 1.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HYDRA_SAYS_NO_CHOICE = "Config group override must be"  # as Hydra answers logger=null
OF_TRAIN = frozenset(  # what `pip install 'mixlab[train]'` brings, as it is imported
    "PIL hydra jinja2 matplotlib omegaconf pytorch_lightning rich safetensors scipy sklearn "
    "statsmodels timm torchmetrics torchvision wandb".split()
)
HYDRA_SAYS = (HYDRA_SAYS_NO_CHOICE, "Only one of --run")  # ValueErrors of Hydra's for users


class ForUsers(Exception):
    """An error whose message says what is wrong and what to do about it."""


class UserError(ForUsers, ValueError):
    """A value, a file or a state that a user can fix."""


class Caution(UserWarning):
    """A warning of mixlab's for users: in its commands one line, elsewhere as Python shows it."""


class Told(ForUsers):
    """An error that has been printed already, by this rank of several or by another."""

    def __init__(self, sentence: str, exit_status: int) -> None:
        super().__init__(sentence)
        self.exit_status = exit_status


class MissingExtra(ForUsers, ImportError):
    """A library that only the extra `train` brings."""


@contextmanager
def train_extra(what: str) -> Iterator[None]:
    """Within, a library of `mixlab[train]` that is not installed is one sentence about `what`."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in OF_TRAIN:
            raise
        remedy = "pip install 'mixlab[train]'"
        raise MissingExtra(f"{what} needs {name}, which is not installed; {remedy}") from error


def is_user_error(error: BaseException) -> bool:
    """Whether the message was written for users: raised on purpose by us, Hydra or Lightning."""
    if isinstance(error, ForUsers) or type(error).__name__ == "MisconfigurationException":
        return True
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if isinstance(error, HydraException | OmegaConfBaseException | YAMLError):
        return True
    return isinstance(error, ValueError) and str(error).startswith(HYDRA_SAYS)


def exit_status(error: Exception) -> int:
    """3 for a diverged run, 128 + n after signal n, 2 for what a user can fix, else 1."""
    if status := getattr(error, "exit_status", None):
        return status
    if signum := getattr(error, "signum", None):
        return 128 + signum
    return 2 if is_user_error(error) else 1


def print_error(program: str, sentence: str) -> None:
    """Print a sentence on one line, without what a terminal would obey: names come from files."""
    print(printable(f"{program}: {sentence}"), file=sys.stderr, flush=True)


def printable(sentence: str) -> str:
    """A sentence on one line, with escapes for what a terminal would obey."""
    text = " ".join(sentence.split())
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)


def short_cautions() -> None:
    """Show our own warnings as one line, without a place in the source that tells users nothing."""
    shown = warnings.formatwarning

    def formatted(message: Any, category: type[Warning], *place: Any, **line: Any) -> str:
        if issubclass(category, Caution):
            return printable(f"warning: {message}") + "\n"
        return shown(message, category, *place, **line)

    if not hasattr(shown, "is_short"):  # each job of a sweep asks for it
        formatted.is_short = True  # pyright: ignore[reportFunctionMemberAccess]
        warnings.formatwarning = formatted


@contextmanager
def one_sentence(program: str) -> Iterator[None]:
    """Within, an error for users, or a file that cannot be used, ends the program with status 2.

    A reader that has seen enough, as `head` has, ends it with the status of SIGPIPE.
    """
    try:
        with train_extra("the command"):
            yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to flush
        sys.exit(141)
    except (ForUsers, OSError) as error:
        if isinstance(error, OSError) and error.filename is None and not is_user_error(error):
            raise
        print_error(program, str(error))
        sys.exit(2)


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
