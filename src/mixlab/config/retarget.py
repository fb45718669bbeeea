"""A `_target_` that the user changed: what was written for the class before it does not count."""

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.config.allowlist import argument_names, locate
from mixlab.config.keys import OPEN_NODE
from mixlab.errors import UserError

# Beside the arguments of the call.
KEPT = {"model": ("_target_", "name"), "data": ("_target_", "name")}
INNER = {"model": "model.network._target_", "data": "data.source._target_"}


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
    if argument_names(found) is None and before is not None and inspect.isclass(found):
        old = locate(before, allow)
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


def name_after_class(cfg: DictConfig, reference: DictConfig) -> None:
    """Name a model or data set after its class, if the user changed that and not the name."""
    for group, inner in INNER.items():
        node = cfg.get(group)
        if not OmegaConf.is_dict(node):
            continue
        places = (inner, f"{group}._target_")
        targets = [OmegaConf.select(cfg, place) for place in places]
        before = [OmegaConf.select(reference, place) for place in places]
        mine = [now for now, was in zip(targets, before, strict=True) if now and now != was]
        if mine and node.get("name") == OmegaConf.select(reference, f"{group}.name"):
            node["name"] = name_of_class(mine[0])
        elif "name" not in node:
            node["name"] = name_of_class(next(filter(None, targets), group))


def name_of_class(target: str) -> str:
    return target.rsplit(".", 1)[-1].lower()
