"""Configurations: where they lie, which keys are legal, and how a node becomes an object."""

import difflib
import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.allowed import locate, targets
from mixlab.recorded import is_secret, secret_key

OPEN = "kwargs"  # below a node of this name any key goes; the constructor it feeds checks it
OPTIONAL = ("augmentation", "callbacks", "logger", "mixing", "scheduler", "tta")  # may be missing
WHOLE = ("trainer", "paths")  # of these every key is needed
NOTHING = object()


def config_dir() -> Path:
    """The folder of the shipped configs: inside an installed wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "configs", package.parents[1] / "configs"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no configs beside {package}; install mixlab again")


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values, as written, below a node; lists and empty mappings are values."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=False)
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif path:
        yield path, node


def check_keys(cfg: DictConfig, reference: DictConfig) -> None:
    """Raise ValueError if `cfg` has a key that `reference` has not, naming the nearest one.

    Below an open node, and below what is a plain value in the reference, any key goes.
    """
    legal = dict(leaves(reference))
    for key, _ in leaves(cfg):
        parts = key.split(".")
        above = (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        if OPEN not in parts and key not in legal and not any(name in legal for name in above):
            if any(name.startswith(f"{key}.") for name in legal):
                continue  # a whole node set to null, as logger.wandb=null
            raise ValueError(unknown_key(key, legal))


def check_present(cfg: DictConfig, reference: DictConfig) -> None:
    """Raise ValueError if `~` took out what nothing works without."""
    for key, _ in leaves(reference):
        node = key.split(".")[0]
        needed = node not in OPTIONAL and (node in WHOLE or "." not in key)
        if node not in OPTIONAL and cfg.get(node, NOTHING) is NOTHING:
            raise ValueError(f"{node} cannot be taken out; choose another with {node}=...")
        if needed and OmegaConf.select(cfg, key, default=NOTHING) is NOTHING:
            raise ValueError(f"{key} cannot be taken out; set it with {key}=...")


def unknown_key(key: str, legal: Iterable[str]) -> str:
    """The sentence for a misspelt key."""
    if is_secret(key):
        return secret_key(key)
    if f".{OPEN}." in key:
        node, argument = key.split(f".{OPEN}.", 1)
        return f"{key} is not there yet; write {node}.{OPEN}={{{argument}: value}}"
    legal = list(legal)
    above = {
        name.rsplit(".", depth)[0] for name in legal for depth in range(1, name.count(".") + 1)
    }
    nearest = nearest_name(key, {*legal, *above})
    helps = nearest is not None and not key.startswith(f"{nearest}.")
    hint = f"; did you mean {nearest}?" if helps else ""
    return f"{key} is not a key of this configuration{hint} (--cfg job lists the keys)"


def nearest_name(name: str, names: Iterable[str]) -> str | None:
    """The most similar of `names`: the whole name first, then its last part alone."""
    names = sorted(names)
    whole = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if whole:
        return whole[0]
    last = {candidate.rsplit(".", 1)[-1]: candidate for candidate in names}
    part = difflib.get_close_matches(name.rsplit(".", 1)[-1], last, n=1, cutoff=0.6)
    return last[part[0]] if part else None


def canonical(cfg: DictConfig) -> DictConfig:
    """A copy in which a mixing node without a method is null: what acts on nothing is nothing."""
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    method = (plain.get("mixing") or {}).get("method") or {}
    if "mixing" in plain and method.get("_target_") is None:
        plain["mixing"] = None
    return DictConfig(plain)


def absolute_paths(cfg: DictConfig, folder: str | Path) -> None:
    """Make `paths.*` and `data.path` absolute, in place, as seen from `folder`.

    A file below `paths.root_dir` is written as such, for a moved checkout has the same runs.
    """
    for name in ("root_dir", "data_dir", "log_dir"):
        cfg.paths[name] = str((Path(folder) / Path(cfg.paths[name]).expanduser()).resolve())
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    given = (plain.get("data") or {}).get("path")
    if isinstance(given, str) and "${" not in given and not Path(given).expanduser().is_absolute():
        here = str(Path(folder).resolve())
        cfg.data.path = f"{'${paths.root_dir}' if here == cfg.paths.root_dir else here}/{given}"


def spread(node: Any, found: Mapping[str, Any]) -> Any:
    """A copy in which each `kwargs: {...}` beside a `_target_` has become arguments of the call.

    Args:
        found: the callable of each `_target_`.
    """
    if isinstance(node, list):
        return [spread(value, found) for value in node]
    if not isinstance(node, dict):
        return node
    if "_target_" in node and node["_target_"] is None:
        return None
    if "_target_" not in node:
        return {key: spread(value, found) for key, value in node.items()}
    extra = node.get(OPEN) or {}
    check_arguments(node["_target_"], found[node["_target_"]], extra)
    own = {key: value for key, value in node.items() if key != OPEN}
    return {key: spread(value, found) for key, value in {**own, **extra}.items()}


def check_arguments(target: str, made: Any, arguments: Mapping[str, Any]) -> None:
    """Raise ValueError if `target`, which is `made`, takes no argument of one of these names."""
    parameters = inspect.signature(made).parameters if arguments else {}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in arguments:
        if name not in parameters:
            hint = nearest_name(name, parameters)
            raise ValueError(
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
            raise ValueError(f"{key} still has ${{...}} in it when resolved: {value}")
    node = spread(node, {target: locate(target, allow) for target in targets(node)})
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
            raise told(error, node["_target_"], allow) from None

    try:
        bound = instantiate({**node, "_partial_": True}, _convert_="object")
    except Exception as error:
        raise told(error, node["_target_"], allow) from None
    return make


def told(error: Exception, target: str, allow: tuple[str, ...]) -> BaseException:
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
