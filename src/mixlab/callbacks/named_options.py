"""A misspelt argument of a callback is refused with the nearest name."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from mixlab.checks import did_you_mean
from mixlab.errors import UserError

P = ParamSpec("P")


def named_options(init: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """`__init__` that raises UserError for an argument that it does not have.

    The classes derived from its own pass on what they do not know, so their arguments are near,
    too.
    """
    known = inspect.signature(init).parameters

    @wraps(init)
    def checked(self: Any, *args: P.args, **options: P.kwargs) -> None:
        for name in options:
            if name not in known:
                hint = did_you_mean(name, arguments_of(type(self)))
                raise UserError(f"{type(self).__name__} takes no argument {name}{hint}")
        init(self, *args, **options)

    return checked


def arguments_of(kind: type) -> set[str]:
    """The names that a class and those it derives from can be given."""
    inits = [vars(each)["__init__"] for each in kind.__mro__ if "__init__" in vars(each)]
    return {name for init in inits for name in inspect.signature(init).parameters} - {"self"}
