"""The shipped file of configs/mixing that an arm uses as it is: deit, timm_default."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mixlab.config.keys import config_dir
from mixlab.runs.class_names import config_name

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a tenth of the time of OmegaConf's
METHOD = re.compile(r"^method:\s+_target_: (\S+)", re.MULTILINE)
Settings = Mapping[str, Any]  # dotted key -> plain value


@dataclass(frozen=True)
class Recipe:
    """A file that sets a class whose own name is another: `timm_default` is a Mixup.

    Attributes:
        own: what the file itself sets, by dotted key.
        base: what every file has, by dotted key.
    """

    name: str
    own: Settings
    base: Settings

    def is_in(self, arm: Settings) -> bool:
        """Whether an arm has all that the file sets, and no other argument of its method."""
        below = {key for key in arm if key.startswith("mixing.method.")}
        return below <= self.own.keys() and all(
            arm.get(key) == value for key, value in self.own.items()
        )

    def says(self, key: str, value: Any) -> bool:
        """Whether the name alone tells that a key has this value."""
        return key in self.own or (key in self.base and self.base[key] == value)


def recipe_of(arm: Settings) -> Recipe | None:
    """The file all of whose settings an arm has; None for a class under its own name.

    It is a function of the settings alone: what was typed is not asked. Of equal files the one with
    the shortest name counts, `deit` before `convnext`.
    """
    found = recipes(str(arm.get("mixing.method._target_")))
    return next((each for each in found if each.is_in(arm)), None)


@cache
def recipes(target: str) -> list[Recipe]:
    """The files that set a class under another name than its own, the most detailed first."""
    names = [path for path in texts() if METHOD.findall(texts()[path]) == [target]]
    base = read(config_dir() / "mixing" / "_base.yaml")
    found = [Recipe(path.stem, read(path), base) for path in names]
    named = [each for each in found if each.name != config_name(target)]
    return sorted(named, key=lambda each: (-len(each.own), len(each.name), each.name))


@cache
def texts() -> dict[Path, str]:
    folder = config_dir() / "mixing"
    return {path: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))}


def read(file: Path) -> Settings:
    """What a file itself sets, by dotted key."""
    node = yaml.load(file.read_bytes(), LOADER)
    node.pop("defaults", None)
    return flatten({"mixing": node})


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} becomes {"a.b": 1}; lists of plain values stay whole, as JSON."""
    items: Iterable[tuple[Any, Any]]
    if isinstance(node, Mapping):
        items = node.items()
    elif isinstance(node, list) and any(isinstance(entry, Mapping) for entry in node):
        items = enumerate(node)
    else:
        return {prefix: json.dumps(node) if isinstance(node, list) else node}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
