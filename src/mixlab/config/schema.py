"""Which values the keys of the shipped configurations take: checked before anything is loaded.

What only a class can judge (a mixing method's knobs, an augmentation's) is judged by that class.
"""

import re
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from mixlab.checks import (
    ABOVE_0,
    BELOW_1,
    CHANNELS,
    CROP,
    DURATION,
    FLAG,
    FRACTION,
    FREEZE,
    LAYERS,
    LOSS,
    MIX,
    NOISE_KIND,
    ON_ERROR,
    POSITIVE,
    PRETRAINED,
    PROBABILITY,
    SEED,
    SMALL_STEM,
    STRENGTH,
    VAL_SPLIT,
    VOTE,
    WANDB_MODE,
    WEIGHT_DECAY_ON,
    Allowed,
    is_number,
    number,
    one_of,
    several,
    whole,
)
from mixlab.config.keys import leaves
from mixlab.errors import UserError

WORD = Allowed(  # it becomes part of a folder's name
    "a word of at most 80 characters",
    lambda value: isinstance(value, str) and value.strip() != "" and len(value) <= 80,
)
DEVICES = Allowed(
    "a number of devices from 1, -1 for all, auto, or their numbers as '0,1'",
    lambda n: (
        (type(n) is int and (n >= 1 or n == -1))
        or (isinstance(n, str) and re.fullmatch(r"auto|-1|\d+(,\d+)*,?", n) is not None)
        or (isinstance(n, ListConfig) and len(n) > 0 and all(type(i) is int and i >= 0 for i in n))
    ),
)
BATCH_LIMIT = Allowed(
    "a fraction in [0, 1] or a whole number of batches",
    lambda x: is_number(x) and x >= 0 and (type(x) is int or x <= 1),
)
SOME = Allowed(
    "a fraction in (0, 1] or a whole number of batches above 0",
    lambda x: BATCH_LIMIT.contains(x) and x > 0,
)
SIZE = Allowed(
    "a fraction in (0, 1), a whole number of rows, or 0",
    lambda x: is_number(x) and (0 <= x < 1 or (x >= 1 and x % 1 == 0)),
)
AGAIN = Allowed(
    "failed, diverged, pruned, a list of them, or all",
    lambda value: (
        isinstance(value, str | ListConfig)
        and {*([value] if isinstance(value, str) else value)}
        <= {"failed", "diverged", "pruned", "all"}
    ),
)
OPTIMIZED = Allowed(
    "a metric of validation, as val/accuracy",
    lambda name: isinstance(name, str) and name.startswith("val/"),
    remedy="what is chosen by test figures cannot be judged by them",
)
PRECISION = one_of(
    "32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "transformer-engine",
    "transformer-engine-float16", "16", "32", "64", "bf16",
).or_(16, 32, 64)  # fmt: skip

VALUES = {
    "task_name": WORD,
    "seed": SEED,
    "threads": whole(1).or_("auto"),
    "test": FLAG,
    "existing": one_of("check", "reuse", "replace", "new"),
    "retry": AGAIN.or_(None),
    "trial_of": WORD.or_(None),
    "checkpoint_minutes": number(0).or_(None),
    "rank_timeout": DURATION.or_(None),
    "optimized_metric": OPTIMIZED.or_(None),
    "tags": several(Allowed("a word or a number", lambda x: isinstance(x, str | int | float))),
    "callbacks.last.every_seconds": number(0),
    "data.name": WORD,
    "data.batch_size": whole(1),
    "data.eval_batch_size": whole(1),
    "data.val_size": SIZE,
    "data.test_size": SIZE,
    "data.fraction": ABOVE_0,
    "data.label_noise": BELOW_1,
    "data.noise_kind": NOISE_KIND,
    "data.noise_seed": whole(0, 2**32 - 1),
    "data.val_split": VAL_SPLIT,
    "data.shuffle": FLAG,
    "data.image_size": whole(1).or_(None),
    "data.num_workers": whole(0),
    "data.channels": CHANNELS,
    "data.on_error": ON_ERROR,
    "data.crop": CROP,
    "data.shuffle_shards": whole(1).or_(None),
    "mixing.probability": PROBABILITY,
    "mixing.layers": LAYERS,
    "mixing.attention": FRACTION,
    "mixing.strength": STRENGTH,
    "mixing.mix": MIX,
    "model.name": WORD,
    "model.loss": LOSS,
    "model.label_smoothing": BELOW_1,
    "model.weight_decay_on": WEIGHT_DECAY_ON,
    "model.layer_decay": ABOVE_0,
    "model.pretrained": PRETRAINED,
    "model.freeze": FREEZE,
    "model.channels_last": FLAG,
    "model.compile": FLAG,
    "model.network.dropout": BELOW_1,
    "model.network.depth": whole(1),
    "model.network.small_stem": SMALL_STEM,
    "optimizer.lr": POSITIVE,
    "optimizer.weight_decay": number(0),
    "optimizer.momentum": number(0),
    "optimizer.nesterov": FLAG,
    "optimizer.betas": several(BELOW_1, 2),
    "optimizer.eps": number(0),
    "scheduler.T_max": whole(1),
    "scheduler.eta_min": number(0),
    "scheduler.gamma": POSITIVE,
    "scheduler.milestones": several(whole(1)),
    "scheduler.epochs": whole(1),
    "scheduler.warmup_epochs": whole(0),
    "scheduler.warmup_lr": number(0),
    "scheduler.min_lr": number(0),
    "trainer.max_epochs": whole(1).or_(-1, None),
    "trainer.max_steps": whole(1).or_(-1),
    "trainer.accelerator": one_of("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "trainer.devices": DEVICES,
    "trainer.num_nodes": whole(1),
    "trainer.precision": PRECISION,
    "trainer.sync_batchnorm": FLAG,
    "lr_base_size": whole(1).or_(None),
    "trainer.accumulate_grad_batches": whole(1),
    "trainer.gradient_clip_val": number(0).or_(None),
    "trainer.limit_train_batches": SOME,
    "trainer.limit_val_batches": BATCH_LIMIT,
    "trainer.limit_test_batches": BATCH_LIMIT,
    "trainer.overfit_batches": BATCH_LIMIT,
    "trainer.check_val_every_n_epoch": whole(1).or_(None),
    "trainer.num_sanity_val_steps": whole(-1),
    "trainer.deterministic": FLAG.or_("warn"),
    "trainer.fast_dev_run": Allowed(
        "true, false or a whole number from 0",
        lambda n: type(n) is bool or (type(n) is int and n >= 0),
    ),
    "trainer.detect_anomaly": FLAG,
    "trainer.profiler": one_of("simple", "advanced", "pytorch").or_(None),
    "trainer.enable_progress_bar": FLAG.or_("auto"),
    "trainer.enable_model_summary": FLAG,
    "trainer.log_every_n_steps": whole(0),
    "logger.wandb.project": WORD,
    "logger.wandb.mode": WANDB_MODE,
    "part": one_of("test", "val"),
    "limit_test_batches": SOME,
    "per_class": FLAG,
    "predictions": FLAG,
    "confusion": FLAG,
    "save": FLAG,
    "tta.views": whole(1),
    "tta.vote": VOTE,
}


def check_values(cfg: DictConfig, reference: DictConfig) -> None:
    """Raise ValueError for the first value that is not what its key takes.

    Args:
        reference: the same choices without what the user changed: a key that is not listed takes
            values of the kind it has there.
    """
    written = dict(leaves(reference))
    for key, given in leaves(cfg):
        if given == "???" or (isinstance(given, dict) and given):
            continue
        is_plain = isinstance(given, int | float) or (isinstance(given, str) and "${" not in given)
        value = given if is_plain else OmegaConf.select(cfg, key)  # which takes its time
        if key in VALUES:
            VALUES[key].check(key, value)
        elif key in written and not key.startswith("mixing."):  # which are built before all else
            check_kind(key, value, written[key])
    check_monitors(cfg)


def check_kind(key: str, value: Any, default: Any) -> None:
    """Raise ValueError where there is a word, a list or a flag in place of a number or a flag."""
    if value is None:
        return
    if type(default) is bool and type(value) is not bool:
        raise UserError(f"{key} must be true or false, got {value!r}")
    if type(default) in (int, float) and not is_number(value):
        raise UserError(f"{key} must be a number such as {default}, got {value!r}")


def check_monitors(cfg: DictConfig) -> None:
    """Raise UserError if a callback or a sweeper waits for a figure that our models do not log.

    Lightning would say so after the first epoch.
    """
    target = str(OmegaConf.select(cfg, "model._target_"))
    if not target.startswith("mixlab.models."):
        return
    metrics = [name for name, node in (cfg.get("metrics") or {}).items() if node]
    figures = [f"{part}/{name}" for part in ("val", "train") for name in ("accuracy", "loss")]
    logged = one_of(*figures, *(f"val/{name}" for name in metrics))
    if cfg.get("optimized_metric") is not None:
        one_of(*filter(OPTIMIZED.contains, logged.choices)).check(
            "optimized_metric", cfg.optimized_metric
        )
    for name, node in (cfg.get("callbacks") or {}).items():
        monitor = node.get("monitor") if OmegaConf.is_dict(node) else None
        if monitor is not None and not str(monitor).startswith("mixing"):
            logged.check(f"callbacks.{name}.monitor", monitor)
        if monitor is not None and node.get("mode") is not None:
            one_of("min", "max").check(f"callbacks.{name}.mode", node.mode)
