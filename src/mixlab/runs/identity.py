"""What identifies a run: an arm (a configuration without its seed) and a seed."""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, flag_override

from mixlab.config.allowlist import locate
from mixlab.config.build import copied
from mixlab.errors import UserError
from mixlab.runs.class_names import config_name
from mixlab.runs.recipes import flatten, recipe_of

HASHED = ("data", "model", "mixing", "augmentation", "optimizer", "scheduler")
PARTLY_HASHED = ("trainer", "callbacks", "ckpt_path", "lr_base_size")
NOT_HASHED_OF_TRAINER = (
    "_target_", "accelerator", "num_sanity_val_steps", "deterministic", "detect_anomaly",
    "profiler", "enable_progress_bar", "enable_model_summary", "log_every_n_steps",
)  # fmt: skip
# Keys that younger versions have: with these values they change nothing, and so no older hash.
YOUNGER_OF_TRAINER = {"sync_batchnorm": False}
YOUNGER_OF_MIXING = {
    "strength": None, "alpha_schedule": None, "class_probability": None, "mix": "both",
}  # fmt: skip
BATCH_LIMITS = (
    "limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches",
    "val_check_interval",
)  # fmt: skip
ONE_BATCH = "1"  # text, as 1 and 1.0 are one number
NOT_HASHED_OF_DATA = ("num_workers",)
# Callbacks that cannot change the training, known without importing Lightning. Others declare
# `changes_training = False`.
WATCHING = (
    "ModelCheckpoint", "LastCheckpoint", "LearningRateMonitor", "DeviceStatsMonitor",
    "ThroughputMonitor", "Timer", "RichProgressBar", "TQDMProgressBar", "ModelSummary",
    "RichModelSummary",
)  # fmt: skip


def identity(cfg: DictConfig) -> dict[str, Any]:
    """The part of a configuration that changes what is trained, without the seed.

    Paths are replaced by their names, so that a moved checkout finds its runs again.
    """
    masked = copied(cfg)
    with flag_override(masked, ["readonly", "struct"], False):
        masked.seed = "<seed>"
        masked.paths = {name: f"<{name}>" for name in masked.get("paths") or {}}
    plain = {name: resolved(masked.get(name)) for name in (*HASHED, *PARTLY_HASHED)}
    trainer, data = plain["trainer"] or {}, plain["data"] or {}
    return {
        **{name: plain[name] for name in HASHED},
        "data": without(data, NOT_HASHED_OF_DATA),
        "mixing": of_mixing(plain["mixing"]),
        "trainer": of_trainer(trainer),
        "callbacks": acting(plain["callbacks"] or {}, watching(cfg)),
        "ckpt_path": plain["ckpt_path"],
        **({"lr_base_size": size} if (size := plain["lr_base_size"]) else {}),
    }


def resolved(value: Any) -> Any:
    """A value of a configuration; a node as plain dicts and lists."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def of_trainer(node: Mapping[str, Any]) -> dict[str, Any]:
    """What of the trainer's node changes the training."""
    kept = without_usual(without(node, NOT_HASHED_OF_TRAINER), YOUNGER_OF_TRAINER)
    return {key: ONE_BATCH if is_one_batch(key, value) else value for key, value in kept.items()}


def is_one_batch(key: str, value: Any) -> bool:
    """Whether the limit of a (dotted) key is one batch: Lightning takes 1.0 for all of them."""
    return key.rpartition(".")[2] in BATCH_LIMITS and isinstance(value, int) and value == 1


def of_mixing(node: Any) -> Any:
    """The mixing's node without younger keys that change nothing; names of layers are text."""
    if not isinstance(node, Mapping):
        return node
    kept = without_usual(node, YOUNGER_OF_MIXING)
    if kept.get("layers"):
        kept["layers"] = [str(layer) for layer in kept["layers"]]
    return kept


def without_usual(node: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """A node less the keys that have their usual value."""
    return without(node, [key for key, value in usual.items() if node.get(key) == value])


def without(node: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """A node less some of its keys."""
    return {key: value for key, value in node.items() if key not in names}


def watching(cfg: DictConfig) -> list[str]:
    """Names of the user's own callbacks whose class declares `changes_training = False`."""
    allow = tuple(cfg.get("allow") or ())
    names = []
    for name, node in (cfg.get("callbacks") or {}).items():
        target = str(node.get("_target_")) if node else ""
        if target.split(".")[0] in allow and not changes_training(target, allow):
            names.append(name)
    return names


def changes_training(target: str, allow: Iterable[str]) -> bool:
    """What a callback's class declares as `changes_training`; true by default."""
    try:
        return getattr(locate(target, allow), "changes_training", True)
    except UserError:  # reported when the callback is built
        return True


def acting(callbacks: Mapping[str, Any], watching: Collection[str] = ()) -> dict[str, Any]:
    """The callbacks that may change the training, and what chooses the best checkpoint.

    Args:
        watching: names of callbacks that do not change it.
    """
    kept = {}
    for name, node in callbacks.items():
        kind = (node or {}).get("_target_", "").rsplit(".", 1)[-1]
        if kind == "ModelCheckpoint" and node.get("monitor"):
            kept[name] = {"monitor": node["monitor"], "mode": node.get("mode")}
        elif node and name not in watching and kind not in WATCHING:
            kept[name] = node
    return kept


def same_numbers(node: Any) -> Any:
    """1 and 1.0 are one value: YAML and the command line write either."""
    if isinstance(node, dict):
        return {str(key): same_numbers(value) for key, value in node.items()}
    if isinstance(node, list):
        return [same_numbers(value) for value in node]
    return float(node) if isinstance(node, int) and not isinstance(node, bool) else node


def arm_hash(cfg: DictConfig, known: Mapping[str, Any] | None = None) -> str:
    """Eight hexadecimal digits that name an arm; `known` is its identity, which takes a while."""
    text = json.dumps(same_numbers(known or identity(cfg)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def arm_slug(cfg: DictConfig, known: Mapping[str, Any] | None = None) -> str:
    """Data, model and method, for people: `digits-cnn-mixup`; `known` is the identity.

    A shipped recipe that is used as it is gives its name: `digits-cnn-deit`.
    """
    mixing = known["mixing"] if known else of_mixing(resolved(cfg.get("mixing")))
    if not mixing:
        return _slug(cfg, "none")
    recipe = recipe_of(flatten({"mixing": mixing}))
    return _slug(cfg, recipe.name if recipe else config_name(mixing["method"]["_target_"]))


def _slug(cfg: DictConfig, method: str) -> str:
    return "-".join(file_name(word) for word in (cfg.data.name, cfg.model.name, method))


def file_name(word: str) -> str:
    """`word` as a folder name: without separators, spaces or `=`."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", str(word)).strip(".") or "_"


def arm_folder(cfg: DictConfig, known: Mapping[str, Any] | None = None) -> Path:
    """logs/runs/<task_name>/<arm>-<hash8>; `known` is the identity.

    An arm whose folder has an earlier name, its method's class, stays there.
    """
    task, digits = _task_folder(cfg), arm_hash(cfg, known)
    name = arm_slug(cfg, known)
    target = mixing.method._target_ if (mixing := cfg.get("mixing")) else "none"
    before = (config_name(target), target.rsplit(".", 1)[-1].lower())
    older = (task / f"{_slug(cfg, each)}-{digits}" for each in dict.fromkeys(before))
    return next((each for each in older if each.is_dir()), task / f"{name}-{digits}")


def _task_folder(cfg: DictConfig) -> Path:
    return Path(cfg.paths.log_dir) / "runs" / file_name(cfg.task_name)


def run_folder(cfg: DictConfig) -> Path:
    """logs/runs/<task_name>/<arm>-<hash8>/seed-<n>, see `arm_folder`."""
    return arm_folder(cfg) / f"seed-{cfg.seed}"
