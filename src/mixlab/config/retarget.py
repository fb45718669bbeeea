"""A `_target_` that the user changed: what was written for the class before it does not count."""

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.config.allowlist import argument_names, locate
from mixlab.config.keys import OPEN_NODE, leaves
from mixlab.errors import UserError

# Beside the arguments of the call.
KEPT = {"model": ("_target_", "name"), "data": ("_target_", "name")}
NAMED_AFTER = {  # the first of these that the user changed
    "model": ("model.network._target_", "model._target_"),
    "data": (
        "data.source._target_", "data.source.train._target_", "data.source.module._target_",
        "data._target_", "data.path",
    ),
}  # fmt: skip


def drop_arguments(cfg: DictConfig, reference: DictConfig, given: Iterable[str] = ()) -> None:
    """Below each changed `_target_`, remove the arguments that the new class does not take.

    Args:
        reference: the same choices, unchanged: only what stands there is removed.
        given: the keys of the command line.

    Raises:
        UserError: an argument that the user gave is not taken.
    """
    given, allow = set(given), tuple(cfg.get("allow") or ())
    for place, was in target_nodes(OmegaConf.to_container(reference, resolve=False)):
        node: Any = OmegaConf.select(cfg, place)
        if not OmegaConf.is_dict(node) or node.get("_target_") in (None, was["_target_"]):
            continue
        names = names_taken(node._target_, was["_target_"], allow)
        if names is None:
            continue
        written: Any = OmegaConf.to_container(node, resolve=False)
        kept = KEPT.get(place, ("_target_", "_partial_"))
        for name in {*written} & {*was} - names - {*kept}:
            key = f"{place}.{name}"
            if key in given or written[name] != was[name]:
                if name == OPEN_NODE:
                    continue  # the arguments of the new class
                raise UserError(f"{node._target_} takes no argument {name}; leave out {key}")
            del node[name]


def names_taken(target: str, before: str | None, allow: Iterable[str]) -> set[str] | None:
    """The arguments that a class names; None if it passes all on to the one it derives from."""
    found = locate(target, allow)
    there_was = before not in (None, "???")  # the user has to name the class
    if argument_names(found) is None and there_was and inspect.isclass(found):
        old = locate(str(before), allow)
        if inspect.isclass(old) and issubclass(found, old):
            return None
    return {*inspect.signature(found).parameters}


def target_nodes(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node with a `_target_` below the top, outer ones first."""
    if isinstance(node, dict):
        if place and "_target_" in node:
            yield place, node
        for key, value in node.items():
            yield from target_nodes(value, f"{place}.{key}" if place else str(key))


def name_parts(cfg: DictConfig, reference: DictConfig) -> None:
    """Name model and data after what the user put in place of the file's, unless a name was given.

    That is the class of a network, model or data set, or the file or folder of the data.
    """
    now, was = dict(leaves(cfg)), dict(leaves(reference))
    for group, places in NAMED_AFTER.items():
        node = cfg.get(group)
        if not OmegaConf.is_dict(node):
            continue
        names = [
            name for place in places if (name := users_name(place, now.get(place), was.get(place)))
        ]
        if names and node.get("name") == OmegaConf.select(reference, f"{group}.name"):
            node["name"] = names[0]
        elif "name" not in node:
            node["name"] = class_word_of(str(node.get("_target_", group)))


def users_name(place: str, now: Any, was: Any) -> str | None:
    """A name for the value `now` at `place`, if the user changed it; `mylab.Skin` becomes `skin`.

    A path counts only where the file of the choice has none.
    """
    if not isinstance(now, str) or now == was or "${" in now:
        return None
    if now.startswith("mixlab.models."):  # learns the same network in another way
        return None
    if place.endswith("path"):
        return Path(now).stem if was == "???" else None
    return class_word_of(now)


def class_word_of(target: str) -> str:
    return target.rsplit(".", 1)[-1].lower()
