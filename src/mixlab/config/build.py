"""From a configuration node to the object it describes."""

import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from mixlab.config.allowlist import locate, targets
from mixlab.config.keys import OPEN_NODE, leaves, nearest_name
from mixlab.errors import UserError


def merge_kwargs(node: Any, found: Mapping[str, Any]) -> Any:
    """A copy in which each `kwargs: {...}` beside a `_target_` has become arguments of the call.

    Args:
        found: the callable of each `_target_`.
    """
    if isinstance(node, list):
        return [merge_kwargs(value, found) for value in node]
    if not isinstance(node, dict):
        return node
    if "_target_" in node and node["_target_"] is None:
        return None
    if "_target_" not in node:
        return {key: merge_kwargs(value, found) for key, value in node.items()}
    extra = node.get(OPEN_NODE) or {}
    own = {key: value for key, value in node.items() if key != OPEN_NODE}
    named = [key for key in (*own, *extra) if key[:1] != "_"]  # the others are Hydra's
    check_arguments(node["_target_"], found[node["_target_"]], named)
    return {key: merge_kwargs(value, found) for key, value in {**own, **extra}.items()}


def check_arguments(target: str, made: Any, arguments: Sequence[str]) -> None:
    """Raise ValueError if `target`, which is `made`, takes no argument of one of these names."""
    parameters = inspect.signature(made).parameters if arguments else {}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in arguments:
        if name not in parameters:
            hint = nearest_name(name, parameters)
            raise UserError(
                f"{target} takes no argument {name}" + (f"; did you mean {hint}?" if hint else "")
            )


def build(node: Any, *args: Any, allow: Iterable[str] = (), **kwargs: Any) -> Any:
    """Make the object that a node describes, after looking at every `_target_` in it.

    `args` and `kwargs` are passed on as they are. A node with `_partial_: true` becomes a factory.
    """
    if node is None:
        return None
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    for key, value in leaves(node):
        if "${" in str(value):  # Hydra would resolve it again, into calls that nobody has seen
            raise UserError(f"{key} still has ${{...}} in it when resolved: {value}")
    node = merge_kwargs(node, {target: locate(target, allow) for target in targets(node)})
    if node is None:  # `_target_: null`
        return None
    make = factory(node, tuple(allow))
    return make if node.get("_partial_") else make(*args, **kwargs)


def factory(node: dict[str, Any], allow: tuple[str, ...]) -> Callable[..., Any]:
    """What makes the object of a node from the arguments that are still missing.

    A factory in any case, for Hydra would take a dataclass among the arguments for a config.
    """
    from hydra.utils import instantiate

    def make(*args: Any, **kwargs: Any) -> Any:
        try:
            return bound(*args, **kwargs)
        except Exception as error:
            raise as_user_error(error, node["_target_"], allow) from None

    try:
        bound = instantiate({**node, "_partial_": True}, _convert_="object")
    except Exception as error:
        raise as_user_error(error, node["_target_"], allow) from None
    return make


def as_user_error(error: Exception, target: str, allow: tuple[str, ...]) -> BaseException:
    """The error to raise: one sentence for users where a library refuses what a node says."""
    from hydra.errors import InstantiationException

    cause = error.__cause__ if isinstance(error, InstantiationException) else error
    if cause is None:
        return error
    frames = [frame for frame, _ in traceback.walk_tb(cause.__traceback__)]
    module = frames[-1].f_globals.get("__name__", "")  # that raised it
    ours = module.split(".")[0] in ("mixlab", *allow) and module != __name__
    if isinstance(cause, ImportError) and module.startswith("hydra."):
        return ValueError(cause)
    if isinstance(cause, (ValueError, TypeError)) and not ours:
        sentence = ValueError(f"{target}: {cause}")
        sentence.__cause__ = cause
        return sentence
    return cause
