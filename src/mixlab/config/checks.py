"""Check a composed configuration before anything is built from it."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from mixlab.config.allowlist import check_targets, first_file
from mixlab.config.keys import (
    OPEN_GROUPS,
    absolute_paths,
    canonical,
    check_keys,
    check_present,
    config_dir,
    leaves,
)
from mixlab.config.retarget import drop_arguments, name_parts
from mixlab.config.schema import check_values
from mixlab.config.secrets import check_secrets
from mixlab.errors import UserError

KNOBS = "probability|gate|schedule|partners|alpha_schedule|class_probability"  # of a policy
WITHOUT_KEYS = ("experiment", "claim", "hparams_search", "debug")  # groups that only set values


def prepare(cfg: DictConfig, hydra_cfg: Any) -> DictConfig:
    """What a task gets: a configuration with legal keys, absolute paths and sound mixing."""
    loader = GlobalHydra.instance().config_loader()
    plain = reference(loader, hydra_cfg)
    check_secrets(cfg)
    if cfg.get("allow"):
        import_from_here()
        for package in cfg.allow:
            first_file(package)  # or there would be a run folder before that is known
    check_keys(cfg, plain)
    check_missing(cfg)
    check_present(cfg, plain)
    with open_dict(cfg):
        drop_arguments(cfg, plain, given_keys(hydra_cfg.overrides.task))
        name_parts(cfg, plain)
    cfg = canonical(cfg)
    check_values(cfg, plain)
    check_targets(cfg, cfg.get("allow") or ())
    if "paths" in cfg:
        absolute_paths(cfg, Path.cwd())
    check_mixing(cfg)
    check_model_name(cfg, plain)
    return cfg


def given_keys(overrides: Sequence[str]) -> set[str]:
    """The keys of overrides, without what Hydra marks them with."""
    return {override.lstrip("+~").partition("=")[0] for override in overrides}


def check_model_name(cfg: DictConfig, plain: DictConfig) -> None:
    """Raise ValueError where another name would not make another network."""
    given, own = (OmegaConf.select(each, "model.name") for each in (cfg, plain))
    target, default = (OmegaConf.select(each, "model.network._target_") for each in (cfg, plain))
    fixed = target is not None and target == default and not str(target).endswith(".Timm")
    if fixed and own is not None and given != own:
        raise UserError(
            f"model.name={given} would only rename {own}; for a model of timm's use model=timm "
            f"model.name={given}"
        )


def check_missing(cfg: DictConfig) -> None:
    """Raise ValueError if a value that only the user can give is not given."""
    missing = [key for key, value in leaves(cfg) if value == "???"]
    for group in ("data", "model", "mixing"):
        if cfg.get(group) and "_target_" not in cfg[group]:
            start = "begin its file with defaults: [_base, _self_]"
            raise UserError(f"{group}._target_ is missing; {start}")
    if missing:
        raise UserError(f"{missing[0]} has no value; give it on the command line: {missing[0]}=...")


def import_from_here() -> None:
    """Let the user's own package beside the command be imported, by other ranks too."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
        others = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = here + (os.pathsep + others if others else "")


def reference(loader: ConfigLoader, hydra_cfg: Any) -> DictConfig:
    """The configuration with the same choices and nothing else: its keys are the legal ones."""
    choices = [
        f"{group}={'null' if choice is None else choice}"
        for group, choice in hydra_cfg.runtime.choices.items()
        if not group.startswith("hydra/") and group not in WITHOUT_KEYS
    ]
    return compose_plain(
        loader, hydra_cfg.job.config_name, (*choices, *lists(hydra_cfg.overrides.task))
    )


def lists(overrides: Sequence[str]) -> Iterator[str]:
    """Those that give a group a list of its files, which Hydra leaves out of its choices.

    Raises:
        ValueError: the group takes one; of a list Hydra would use the last, without a word.
    """
    for override in overrides:
        group, _, value = override.partition("=")
        if value.startswith("[") and (config_dir() / group).is_dir():
            if group not in OPEN_GROUPS:
                raise UserError(
                    f"{group} takes one choice, got {value}; for a run of each: "
                    f"-m {group}={value[1:-1]}"
                )
            yield override


@lru_cache(maxsize=16)  # the arms of a sweep differ in values more often than in choices
def compose_plain(loader: ConfigLoader, config_name: str, overrides: tuple[str, ...]) -> DictConfig:
    """Compose without the node `hydra`; to be read only."""
    cfg = loader.load_configuration(config_name, list(overrides), run_mode=RunMode.RUN)
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    return cfg


def check_mixing(cfg: DictConfig) -> None:
    """Build the method and its policy, which needs torch alone, to see bad values early."""
    if cfg.get("mixing") is None:
        return
    from mixlab.mixing import Policy
    from mixlab.mixing.strength import check_strength

    node = OmegaConf.to_container(cfg.mixing, resolve=True)
    assert isinstance(node, dict)
    method = built_method(node.pop("method"), "mixing.method", cfg.get("allow", ()))
    if not callable(method) or not hasattr(method, "num_partners"):
        raise UserError(
            f"{type(method).__name__} is not a mixing method; it needs num_partners, label_differs "
            "and __call__(images, targets, rng, partners=None)"
        )
    check_partners(cfg, ranks_of(cfg))
    if str(node.pop("_target_")).startswith("mixlab.callbacks."):
        knobs = Policy.__dataclass_fields__
        with knob_prefix("mixing."):
            policy = Policy(**{key: value for key, value in node.items() if key in knobs})
            found = cast(Any, method)
            policy.check(found)
            check_strength(node.get("strength"), policy, found)


def built_method(node: Any, place: str, allow: Sequence[str]) -> Any:
    """The method of the node at `place`; its parts are tried first, so that messages name them."""
    from mixlab.config.build import build

    for key, part in targeted(node):
        built_method(part, f"{place}.{key}", allow)
    with knob_prefix(f"{place}."):
        return build(node, allow=allow)


def targeted(node: Any) -> Iterator[tuple[str, Any]]:
    """The nodes with a `_target_` just below a node or in its lists: `methods.0`."""
    for key, value in node.items() if isinstance(node, dict) else ():
        parts = enumerate(value) if isinstance(value, list) else [(None, value)]
        for number, part in parts:
            if isinstance(part, dict) and "_target_" in part:
                yield key if number is None else f"{key}.{number}", part


def ranks_of(cfg: DictConfig) -> int:
    """How many processes share a batch, as far as the configuration says it; else 1."""
    devices, nodes = (OmegaConf.select(cfg, f"trainer.{key}") for key in ("devices", "num_nodes"))
    ranks = devices if isinstance(devices, int) and devices > 1 else 1
    return ranks * nodes if isinstance(nodes, int) else ranks


def check_partners(cfg: DictConfig, ranks: int) -> None:
    """Raise UserError if a rank has one row of a batch, which is mixed with another."""
    if cfg.get("mixing") and cfg.data.get("batch_size") in range(ranks, 2 * ranks):
        raise UserError(
            f"data.batch_size={cfg.data.batch_size} leaves a row without a partner; "
            f"use {2 * ranks} or more"
        )


@contextmanager
def knob_prefix(prefix: str) -> Iterator[None]:
    """Put the place of a knob before its name, where a message begins with that.

    Knobs of the policy are written as on the command line wherever the message has one.
    """
    try:
        yield
    except ValueError as error:
        text = re.sub(rf"(?<![\w.])({KNOBS})=", r"mixing.\1=", str(error))
        knob = re.match(rf"([a-z_]+|({KNOBS})\..+?) (must|decides) ", text)
        raise UserError(f"{prefix}{text}" if knob else text) from None
