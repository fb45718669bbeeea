"""What a configuration may call: classes of known places, and what packages the user trusts.

Hydra turns any `_target_` into a call, and its own blocklist is best effort. A configuration may
come from a stranger, so here only what is listed may be called, and an object counts for what it
is, not for the name it was reached by: `mixlab.data.image_files.os.system` is Python's, not ours.
"""

import difflib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mixlab.errors import UserError

PLACES = (
    "mixlab.callbacks", "mixlab.data", "mixlab.evaluation", "mixlab.loggers", "mixlab.mixing",
    "mixlab.models", "torch.nn", "torch.optim", "torch.utils.data.dataset",
    "torch.utils.data.sampler", "torchvision.datasets", "torchvision.transforms",
    "pytorch_lightning.callbacks", "pytorch_lightning.loggers", "pytorch_lightning.plugins",
    "pytorch_lightning.profilers", "pytorch_lightning.strategies", "pytorch_lightning.trainer",
    "mixlab.training.fsdp",
    "timm.layers", "timm.loss", "timm.optim", "timm.scheduler", "torchmetrics.aggregation",
    "torchmetrics.classification", "torchmetrics.segmentation",
)  # fmt: skip
EXCEPT = (
    "torchvision.datasets.lsun",  # it unpickles a file in the folder it is given
    # A training has these without being told; a configuration would tell them another file.
    "mixlab.callbacks.bar_loss", "mixlab.callbacks.epoch_lines", "mixlab.callbacks.pace",
    "mixlab.callbacks.previews", "mixlab.callbacks.rank_marks", "mixlab.callbacks.run_record",
    "mixlab.callbacks.stopping", "mixlab.callbacks.trial_reports", "mixlab.callbacks.uneven",
)  # fmt: skip
FUNCTIONS = ("mixlab.models.networks.timm.Timm",)
KNOWN = {place.split(".")[0] for place in PLACES}
# Of Hydra's own node: its plugins are looked up by name, and only installed ones are found.
PLUGIN = re.compile(
    r"(hydra_plugins|hydra\._internal\.core_plugins)\.[\w.]+(Launcher|Sweeper)"
    r"|optuna\.(samplers|pruners)\.\w+"
)
LOGGING = ("logging.StreamHandler", "logging.NullHandler", "logging.Formatter",
           "colorlog.ColoredFormatter", "rich.logging.RichHandler")  # fmt: skip
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
PACKAGE_NAME = re.compile(r"[A-Za-z_]\w*")


def targets(node: Any) -> Iterator[str]:
    """Every `_target_` in a configuration node."""
    if isinstance(node, dict):
        if node.get("_target_") is not None:
            yield str(node["_target_"])
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from targets(value)


def check_targets(node: Any, allow: Iterable[str] = ()) -> None:
    """Raise ValueError if a `_target_` lies in a package that may not be called. Imports nothing.

    Args:
        node: a configuration, or part of one.
        allow: the user's own packages.
    """
    plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    for target in targets(plain):
        if target.split(".")[0] not in KNOWN.union(allow) and target != "???":
            raise UserError(refusal(target, allow))


def locate(target: str, allow: Iterable[str] = ()) -> Any:
    """The callable that a `_target_` names.

    Raises:
        ValueError: it is not there, or may not be called.
    """
    from hydra._internal.utils import _locate  # as Hydra finds it, so that both see one object

    check_targets({"_target_": target}, allow)
    try:
        found = _locate(target)
    except (ImportError, ValueError) as error:
        module, _, name = target.rpartition(".")
        if module in sys.modules:
            near = difflib.get_close_matches(name, vars(sys.modules[module]), n=1)
            hint = f"; did you mean {module}.{near[0]}?" if near else ""
            raise UserError(f"_target_ {target} is not there{hint}") from None
        raise UserError(
            f"_target_ {target} is not there ({' '.join(str(error).split())})"
        ) from None
    if not may_be_called(found, tuple(allow)):
        raise UserError(refusal(target))
    return found


def argument_names(found: Any) -> set[str] | None:
    """The arguments that a callable names; None if it takes any."""
    parameters = inspect.signature(found).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    return {each.name for each in parameters}


def may_be_called(found: Any, allow: tuple[str, ...] = ()) -> bool:
    """Whether an object is a class of one of the places, or of a package of the user's."""
    home = str(getattr(found, "__module__", ""))
    if home.split(".")[0] in allow:
        return callable(found)
    if not inspect.isclass(found):
        return f"{home}.{getattr(found, '__qualname__', '')}" in FUNCTIONS
    return is_below(home, PLACES) and not is_below(home, EXCEPT)


def is_below(name: str, places: Iterable[str]) -> bool:
    """Whether a dotted name is one of the places or lies in one."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def refusal(target: str, allow: Iterable[str] = ()) -> str:
    """The sentence for a `_target_` that may not be called."""
    package, _, rest = target.partition(".")
    if not rest:
        return f"_target_ {target} has no module; name it too, as in mylab.{target}"
    if near := difflib.get_close_matches(package, allow, n=1, cutoff=0.8):
        remedy = f"did you mean {near[0]}.{rest}?"
    elif package in KNOWN or package in sys.stdlib_module_names or not is_name(package):
        remedy = "call it in a package of your own, mylab say, and add allow=[mylab]"
    else:
        remedy = f"if you trust {package}, add allow=[{package}]"
    return f"_target_ {target} is not among what a configuration may call; {remedy}"


def is_name(word: str) -> bool:
    return PACKAGE_NAME.fullmatch(word) is not None


def check_allow(allow: Any, given: bool) -> None:
    """Raise ValueError unless `allow` lists packages and comes from where the user decides.

    Args:
        given: whether it is the command line's, or the same as in the program's own first file.
    """
    if not isinstance(allow, list) or not all(isinstance(name, str) for name in allow):
        raise UserError(f"allow lists packages of yours, as allow=[mylab], got {allow!r}")
    for name in allow:
        if not is_name(name) or name in sys.stdlib_module_names:
            raise UserError(
                f"allow=[{name}] is not a package of yours; call what you need in one, mylab say, "
                "and add allow=[mylab]"
            )
    if allow and not given:
        raise UserError(
            f"a file may not allow itself to call {', '.join(allow)}; if you trust it, give "
            f"allow=[{','.join(allow)}] on the command line"
        )


def check_hydra(node: Any, allow: Iterable[str], logging: Iterable[str]) -> None:
    """Raise ValueError if Hydra's own node would call something before any task begins.

    Args:
        node: the composed node `hydra`, with launcher, sweeper, callbacks and logging.
        allow: the user's own packages.
        logging: the parts of it that logging will be set up from.
    """
    plain: Any = OmegaConf.to_container(node, resolve=False)
    for target in targets(plain):
        if not PLUGIN.fullmatch(target) and target.split(".")[0] not in allow:
            raise UserError(f"in the node hydra: {refusal(target)}")
    if plain.get("job", {}).get("env_set"):
        raise UserError("hydra.job.env_set is not taken; set the variables in your shell")
    for name in logging:
        check_logging(plain.get(name), name)


def check_logging(node: Any, name: str) -> None:
    """Raise ValueError if a logging configuration names a class or a factory of another kind."""
    for key, value in entries(node):
        word = str(value)
        refused = word not in LOGGING if key in ("()", "class") else word not in STREAMS
        if refused and (key in ("()", "class") or "${" in word or word.startswith("ext:")):
            raise UserError(
                f"hydra.{name}: {value} is not among what logging may use; choose "
                f"hydra/{name}=stdout, or set up logging in a package of your own and add "
                "allow=[mylab]"
            )


def entries(node: Any) -> Iterator[tuple[Any, Any]]:
    """Keys and values of a nested configuration; the entries of a list have the key None."""
    pairs = node.items() if isinstance(node, dict) else ((None, value) for value in node or ())
    for key, value in pairs:
        if isinstance(value, dict | list):
            yield from entries(value)
        else:
            yield key, value


def first_file(package: str) -> Path:
    """The file of a module, or a package's `__init__.py`; ValueError where there is none."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(
            f"allow=[{package}]: there is no package of that name to import; put "
            f"{package}.py into the folder where you call the command"
        )
    return Path(spec.origin)
