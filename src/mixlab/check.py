"""`mixlab-check my_mix:MyMix alpha=0.5`: does a mixing method keep the contract of all methods?

It imports and calls the code that the command names, from the working directory or installed.
"""

import ast
import inspect
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from importlib import import_module
from traceback import extract_tb
from types import ModuleType
from typing import Any

from mixlab.checks import did_you_mean
from mixlab.contract import examine
from mixlab.errors import OF_TRAIN, ForUsers, UserError, counted, one_sentence
from mixlab.findings import Finding, at_line, is_own
from mixlab.mixing import Method

WAYS = """exit status: 0 if every check passes, 1 if one fails, 2 if there is nothing to check

example: mixlab-check mixlab.mixing:CutMix alpha=1.0 per_row=false"""


def main(words: Sequence[str] | None = None) -> None:
    """Check, print, and end with the status."""
    parser = ArgumentParser(
        "mixlab-check",
        description=__doc__,
        epilog=WAYS,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", help="module:Class, or module:object of a finished method")
    optional = {"nargs": "*", "default": []}  # without a default, argparse calls it required
    parser.add_argument("settings", **optional, metavar="key=value", help="of the constructor")
    given = parser.parse_args(words)
    with one_sentence("mixlab-check"):
        method = method_of(given.target, dict(map(setting, given.settings)))
        check_is_whole(method)
    found = examine(method)
    failed = sum(not finding.passed for finding in found)
    with one_sentence("mixlab-check"):
        print("\n".join(lines(found)))
        print(f"{counted(len(found) - failed, 'check')} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def lines(found: Sequence[Finding]) -> list[str]:
    """`pass  masks: sum to 1`; checks that fail for one reason share a line."""
    alike: dict[str, list[Finding]] = {}
    for finding in found:
        alike.setdefault(finding.cause or finding.name, []).append(finding)
    return [
        f"{'pass' if first.passed else 'FAIL'}  "
        f"{', '.join(each.name for each in (first, *others))}: {first.said}"
        for first, *others in alike.values()
    ]


def setting(word: str) -> tuple[str, Any]:
    """`alpha=0.5` as a name and a Python value; what is no literal is a string."""
    name, equals, value = word.partition("=")
    if not equals or not name.isidentifier():
        raise UserError(f"settings are written key=value, got {word!r}; write alpha=0.5")
    words = {"true": True, "false": False, "null": None}
    if value.lower() in words:
        return name, words[value.lower()]
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def method_of(target: str, settings: dict[str, Any]) -> Any:
    """The method that `module:Class` and its settings, or `module:object`, name.

    Raises:
        UserError: the module, the name or the settings are not there.
    """
    place, colon, name = target.partition(":")
    if not colon or not place or not name:
        raise UserError(f"the method is written module:Class, got {target!r}; write my_mix:MyMix")
    sys.path.insert(0, "")
    try:
        found = getattr(module_of(place), name)
    except AttributeError as error:
        raise UserError(f"{error}; name a class that the module {place} defines") from error
    return made(target, found, settings) if isinstance(found, type) else found


def module_of(place: str) -> ModuleType:
    """The module of a name; raises UserError if there is none, or if it cannot be imported."""
    try:
        return import_module(place)
    except ForUsers:
        raise
    except SyntaxError as error:
        raise UserError(f"{place} is not Python: {error}; correct that line") from error
    except Exception as error:
        missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
        if missing.partition(".")[0] in OF_TRAIN:
            raise
        if missing and f"{place}.".startswith(f"{missing}."):
            raise UserError(
                f"there is no module {missing}; start in the folder that has it, or install it"
            ) from error
        remedy = f"install {missing}" if missing else "correct that line"
        said = f"the import of {place} raised {type(error).__name__}: {error}"
        raise UserError(f"{said}{own_lines(error)}; {remedy}") from error


def own_lines(error: Exception) -> str:
    """Where an exception passed, as ` (my_mix.py, line 7)`, without mixlab and the libraries."""
    places = [at_line(at) for at in extract_tb(error.__traceback__) if is_own(at)]
    return f" ({'; '.join(places)})" if places else ""


def made(target: str, kind: type, settings: dict[str, Any]) -> Any:
    """The method of a class and its settings; raises UserError if they do not fit."""
    parameters = inspect.signature(kind).parameters.values()
    unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [each for each in parameters if each.kind not in unnamed]
    needed = [each.name for each in named if each.default is each.empty]
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        check_names(kind, settings, [each.name for each in named])
    if missing := [each for each in needed if each not in settings]:
        words = " ".join(f"{each}=..." for each in missing)
        raise UserError(
            f"{kind.__name__} needs {' and '.join(missing)}; write mixlab-check {target} {words}"
        )
    try:
        return kind(**settings)
    except TypeError as error:
        raise UserError(f"{error}; give the settings of {kind.__name__} as key=value") from error


def check_names(kind: type, settings: Iterable[str], known: Sequence[str]) -> None:
    """Raise UserError for a setting that a class does not know."""
    for name in settings:
        if name not in known:
            hint = did_you_mean(name, known, "leave it out")
            has = f"has no setting {name}, but {', '.join(known) or 'none'}"
            raise UserError(f"{kind.__name__} {has}{hint}")


def check_is_whole(method: Method) -> None:
    """Raise UserError if `method`, or one that it chooses from, is completed by a callback."""
    for each in (method, *getattr(method, "methods", ())):
        if needed := getattr(each, "callback", None):
            raise UserError(
                f"{type(each).__name__} cannot be examined alone, as mixlab.callbacks.{needed} "
                "completes it in each training step; set mixing._target_ to that, and train"
            )
