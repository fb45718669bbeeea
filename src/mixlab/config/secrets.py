"""What may not get into records: a configuration goes to the run folder, dashboards and reports."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mixlab.errors import UserError

SECRET = re.compile(r"(^|_)(api_?key|access_?key|secret|password|passwd|token|credentials?)$", re.I)
UNSET = object()


def check_secrets(node: Any, key: str = "") -> None:
    """Raise ValueError if a key is called as keys of accounts are and has a value."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=False)
    if isinstance(node, dict | list):
        named = node.items() if isinstance(node, dict) else enumerate(node)
        for name, value in named:
            check_secrets(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, str) and is_secret(key):
        raise UserError(secret_key(key))


def is_secret(key: str) -> bool:
    """Whether a dotted key is called as the key of an account is."""
    return SECRET.search(key.rsplit(".", 1)[-1]) is not None


def secret_key(key: str) -> str:
    """The sentence for a key of an account in a configuration."""
    return (
        f"{key} would be recorded with the run; keep it out of configurations and command lines: "
        "W&B reads WANDB_API_KEY, or what `wandb login` has saved"
    )


def without_paths(node: Any, paths: Mapping[str, Any]) -> Any:
    """A configuration without the places of this machine, for a record that leaves it.

    A path below the root folder is relative to it; below another of `paths` it begins with that
    one's name, as `<data_dir>/digits.npz`; any other keeps its last part, `<elsewhere>/x.csv`.
    """
    if isinstance(node, Mapping):
        return {key: without_paths(value, paths) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [without_paths(value, paths) for value in node]
    if not isinstance(node, str):
        return node
    key, equals, value = node.partition("=")
    if equals and os.path.isabs(value):  # a word of a command line
        return f"{key}={without_paths(value, paths)}"
    if not os.path.isabs(node):
        return node
    root = str(paths.get("root_dir") or "")
    if root and Path(node).is_relative_to(root):
        return os.path.relpath(node, root)
    for name, path in sorted(paths.items(), key=lambda item: -len(str(item[1]))):
        if path and Path(node).is_relative_to(str(path)):
            return (Path(f"<{name}>") / os.path.relpath(node, str(path))).as_posix()
    return f"<elsewhere>/{Path(node).name}"


def path_from_environment(name: str, default: Any = UNSET) -> str:
    """`${oc.env:NAME}`: the path that a variable holds.

    Raises:
        ValueError: it holds none. Configurations are recorded with their values, and a stranger's
            could have a secret of the environment written to a folder that is passed on.
    """
    value = os.environ.get(name, default)
    if value is UNSET:
        raise UserError(f"the environment variable {name} is not set")
    path = Path(str(value)).expanduser()
    if not path.is_absolute() or not path.exists():
        raise UserError(
            f"the environment variable {name} is not the absolute path of a file or folder, and "
            "nothing else is taken from the environment, because configurations are recorded; "
            "write the value itself"
        )
    return str(value)


OmegaConf.register_new_resolver("oc.env", path_from_environment, replace=True)
