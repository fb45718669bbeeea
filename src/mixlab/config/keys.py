"""Which keys a configuration may have, and where the shipped ones are."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.config.secrets import is_secret, secret_key
from mixlab.errors import UserError

OPEN_NODE = "kwargs"  # below a node of this name any key is legal; the constructor checks it
OPEN_GROUPS = ("callbacks", "logger", "metrics")  # may have nodes of the user's, with a `_target_`
OPTIONAL = (*OPEN_GROUPS, "augmentation", "mixing", "scheduler", "tta")  # may be missing
WHOLE = ("trainer", "paths")  # of these every key is needed
GIVEN_BY_US = {"model": ("network", "num_classes", "spec", "optimizer", "scheduler", "metrics")}
ABSENT = object()
RENAMED = {
    "code": "existing=reuse, or existing=replace for code=rerun",
    "rerun": "existing=new",
    "ckpt_force": "existing=reuse",
    "sweep": "claim=",
    "sweep.retry": "retry=",
}
LOOKED_FOR = {  # what people look for under another name, or beside another choice
    "train": "mixlab-evaluate run=... tests a finished run without training",
    "extras.print_config": "--cfg job --resolve prints the configuration",
}


def config_dir() -> Path:
    """The folder of the shipped configs: inside an installed wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "configs", package.parents[1] / "configs"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(f"no configs beside {package}; install mixlab again")


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
    """Raise UserError if `cfg` has a key that nothing reads, naming the nearest one.

    Legal are the keys of `reference`; any key below an open node, below what is a plain value there
    and beside the `_target_` of an open group; an argument that the `_target_` above it takes; and
    a node of the user's own at the top, unless it looks like a misspelled one of ours.
    """
    legal = dict(leaves(reference))
    for key, value in leaves(cfg):
        parts = key.split(".")
        if f"{key}._target_" in legal and isinstance(value, str) and "${" not in value:
            group = parts[0] if key in (f"{parts[0]}.method", f"{parts[0]}.network") else None
            choice = f" {group}={value} for a choice, or" if group and "." not in value else ""
            raise UserError(f"{key} is a node; write{choice} {key}._target_={value} for a class")
        above = (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        if key in legal or OPEN_NODE in parts or any(name in legal for name in above):
            continue
        if any(name.startswith(f"{key}.") for name in legal):
            continue  # a whole node set to null, as logger.wandb=null
        if parts[0] in OPEN_GROUPS and OmegaConf.select(cfg, ".".join((*parts[:2], "_target_"))):
            continue
        if is_of_the_user(parts[0], {name.split(".")[0] for name in legal}):
            continue
        arguments = arguments_beside(cfg, parts)
        if key not in arguments:
            raise UserError(unknown_key(key, {*legal, *arguments}))


def is_of_the_user(name: str, ours: Collection[str]) -> bool:
    """Whether a name at the top is meant as the user's own, for notes and interpolations."""
    return name not in ours and name not in RENAMED and nearest_name(name, ours) is None


def arguments_beside(cfg: DictConfig, parts: Sequence[str]) -> set[str]:
    """Keys that the nearest `_target_` above a key may be given, and this key if it takes any."""
    for depth in range(len(parts) - 1, 0, -1):
        place, name = ".".join(parts[:depth]), parts[depth]
        target = OmegaConf.select(cfg, f"{place}._target_")
        if target is None or name == "_target_":  # which belongs to the argument above
            continue
        from mixlab.config.allowlist import argument_names, locate

        names = argument_names(locate(target, tuple(cfg.get("allow") or ())))
        names = {name} if names is None else names - {*GIVEN_BY_US.get(place, ())}
        taken = name in names or name == "_partial_"
        return {f"{place}.{each}" for each in names} | ({".".join(parts)} if taken else set())
    return set()


def check_present(cfg: DictConfig, reference: DictConfig) -> None:
    """Raise ValueError if `~` took out what nothing works without."""
    there = {key for key, value in leaves(cfg) if value != "???"}
    for key, _ in leaves(reference):
        if key in there:
            continue
        node = key.split(".")[0]
        needed = node not in OPTIONAL and (node in WHOLE or "." not in key)
        if node not in OPTIONAL and cfg.get(node, ABSENT) is ABSENT:
            raise UserError(f"{node} cannot be taken out; choose another with {node}=...")
        if needed and OmegaConf.select(cfg, key, default=ABSENT) is ABSENT:
            raise UserError(f"{key} cannot be taken out; set it with {key}=...")


def is_knob(key: str) -> bool:
    """Whether a key is a knob of the mixing method, which each method has its own of."""
    return key.startswith("mixing.method.")


def unknown_key(key: str, legal: Iterable[str]) -> str:
    """The sentence for a misspelled key."""
    if key in RENAMED:
        return f"{key} is not a key any more; use {RENAMED[key]}"
    if key in LOOKED_FOR:
        return f"{key} is not a key of this configuration; {LOOKED_FOR[key]}"
    if is_secret(key):
        return secret_key(key)
    if f".{OPEN_NODE}." in key:
        node, argument = key.split(f".{OPEN_NODE}.", 1)
        return f"{key} is not there yet; write {node}.{OPEN_NODE}={{{argument}: value}}"
    place = key.removesuffix("._target_")
    if place.split(".")[0] in OPEN_GROUPS and (place != key or place.count(".") == 1):
        return f"{place} is not there yet; write +{place}._target_=... to add it"
    if re.match(r"data\.(train|val|test)\.", key):
        source = key.replace("data.", "data.source.", 1)
        return f"{key} is not a key of this configuration; write data=torch {source}=..."
    if choices := choices_with(key):
        return f"{key} is not a key of this configuration, but of {', '.join(choices)}"
    legal = list(legal)
    above = {
        name.rsplit(".", depth)[0] for name in legal for depth in range(1, name.count(".") + 1)
    }
    others = {name for name in (*legal, *above) if not key.startswith(f"{name}.")}
    nearest = nearest_name(key, others)
    hint = f"; did you mean {nearest}?" if nearest else ""
    return f"{key} is not a key of this configuration{hint} (--cfg job lists the keys)"


def choices_with(key: str) -> list[str]:
    """The choices of a group whose files write a key, as `model=timm` for `model.pretrained`."""
    group, _, name = key.partition(".")
    written = re.compile(rf"^{re.escape(name)}:", re.MULTILINE)
    files = sorted((config_dir() / group).glob("[!_]*.yaml")) if name else ()
    return [f"{group}={file.stem}" for file in files if written.search(file.read_text())]


def nearest_name(name: str, names: Iterable[str]) -> str | None:
    """The most similar of `names`: the whole name first, then its last part alone.

    Names below the same node are compared without it: `optimizer.momentum` is not `optimizer.eps`.
    """
    names = sorted(names)
    node, _, last = name.rpartition(".")
    beside = {each.rpartition(".")[2]: each for each in names if each.rpartition(".")[0] == node}
    if near := difflib.get_close_matches(last, beside, n=1, cutoff=0.6):
        return beside[near[0]]
    inside = [each for each in names if each.startswith(f"{node}.") and each.endswith(f".{last}")]
    if node and len(inside) == 1:  # `mixing.alpha`
        return inside[0]
    begun = [each for short, each in beside.items() if len(last) > 2 and short.startswith(last)]
    if len(begun) == 1:  # `prob`
        return begun[0]
    others = [each for each in names if each not in beside.values()] if node else names
    whole = difflib.get_close_matches(name, others, n=1, cutoff=0.6)
    if whole:
        return whole[0]
    last = {candidate.rsplit(".", 1)[-1]: candidate for candidate in names}
    part = difflib.get_close_matches(name.rsplit(".", 1)[-1], last, n=1, cutoff=0.6)
    return last[part[0]] if part else None


def canonical(cfg: DictConfig) -> DictConfig:
    """A copy in which a mixing node without a method is null: what acts on nothing is nothing.

    Raises:
        UserError: the node has a callback but no method, as if `method` was forgotten in its file.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    mixing = plain.get("mixing") or {}
    if "mixing" in plain and (mixing.get("method") or {}).get("_target_") is None:
        if mixing.get("_target_") is not None:
            raise UserError(
                "mixing.method._target_ is missing, so nothing would be mixed; name the class of "
                "the method there, or use mixing=none"
            )
        plain["mixing"] = None
    return DictConfig(plain)


def absolute_paths(cfg: DictConfig, folder: str | Path) -> None:
    """Make `paths.*` and paths of files absolute, in place, as seen from `folder`.

    A file below `paths.root_dir` is written as such, for a moved checkout has the same runs.
    """
    for name in ("root_dir", "data_dir", "log_dir"):
        cfg.paths[name] = str((Path(folder) / Path(cfg.paths[name]).expanduser()).resolve())
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    for group, key in (("data", "path"), ("model", "pretrained")):
        given = (plain.get(group) or {}).get(key)
        relative = isinstance(given, str) and not Path(given).expanduser().is_absolute()
        if relative and "${" not in str(given):
            here = str(Path(folder).resolve())
            root = "${paths.root_dir}" if here == cfg.paths.root_dir else here
            cfg[group][key] = f"{root}/{given}"
