"""From a configuration to an `Experiment`: data, model, callbacks and Lightning's Trainer."""

import inspect
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Checkpoint, ProgressBar
from pytorch_lightning.profilers import PassThroughProfiler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mixlab.callbacks import (
    GracefulStop,
    Heartbeat,
    Previews,
    RunRecord,
    Seeding,
    StepLoss,
    StopOnDivergence,
)
from mixlab.config.allowlist import argument_names, locate
from mixlab.config.build import build
from mixlab.data import ImageDataModule
from mixlab.data.sampler import GUESTS
from mixlab.errors import UserError
from mixlab.models import ImageClassifier, ImageSegmenter
from mixlab.models.metrics import build_metrics
from mixlab.models.networks.build import build_network
from mixlab.models.networks.pretrained import pretrained_scale
from mixlab.runs import arm_hash, arm_slug
from mixlab.runs.checkpoints import LAST, SealedFiles
from mixlab.runtime import keep_memory, quiet, set_threads, threads_for

NO_CONTEXT = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Measures nothing, with one shared context where Lightning makes about 60 per step."""

    def profile(self, action_name: str) -> nullcontext[None]:
        return NO_CONTEXT


@dataclass(frozen=True)
class Experiment:
    """Everything that a run consists of; `threads` is the number of CPU threads set."""

    data: ImageDataModule
    model: Any
    trainer: pl.Trainer
    record: RunRecord
    threads: int

    @staticmethod
    def build(
        cfg: DictConfig,
        *,
        threads: int | None = None,
        resumes: bool = True,
        check: Callable[[ImageDataModule], None] | None = None,
        trainer: Callable[[DictConfig, ImageDataModule, RunRecord], pl.Trainer] | None = None,
    ) -> "Experiment":
        """Set up this process, then build everything that `cfg` describes.

        Args:
            threads: replaces `cfg.threads`.
            resumes: from its own checkpoint, see `RunRecord`.
            check: raises if the data are wrong, before the model is built.
            trainer: replaces `build_trainer`.
        """
        count = set_up_process(cfg, threads)
        data = build_data(cfg)
        if check is not None:
            check(data)
        model, record = build_model(cfg, data), RunRecord(resumes)
        return Experiment(data, model, (trainer or build_trainer)(cfg, data, record), record, count)


def set_up_process(cfg: DictConfig, threads: int | None = None) -> int:
    """Silence advice, keep memory, and set the number of CPU threads; returns that number."""
    quiet()
    keep_memory()
    wanted = threads or cfg.threads
    return set_threads(threads_for(cfg, jobs=1) if wanted == "auto" else wanted)


def build_data(cfg: DictConfig) -> ImageDataModule:
    """The data module, with its augmentation.

    Keys of `data` that only `data.source` accepts are there for the source to refer to.
    """
    allow = cfg.get("allow", ())
    augmentation = build(cfg.augmentation, allow=allow) if cfg.get("augmentation") else None
    partners = cfg.mixing.get("partners") if cfg.get("mixing") else None
    node = plain(cfg.data)
    source = node.get("source") or {}
    module = {"_target_", *inspect.signature(ImageDataModule).parameters}
    data = build(
        {key: value for key, value in node.items() if key in module or key not in source},
        augmentation=augmentation,
        guests=partners if partners in GUESTS else None,
        seed=cfg.seed,
        allow=allow,
    )
    if node.get("normalize") is None and OmegaConf.select(cfg, "model.pretrained"):
        data.normalize(pretrained_scale(cfg.model.name, data.spec.channels))
    return data


def build_model(cfg: DictConfig, data: ImageDataModule) -> Any:
    """The model, sized by the data. Its initial weights depend on the seed alone.

    A user's LightningModule gets those of `network`, `num_classes`, `spec`, `optimizer`,
    `scheduler` and `metrics` that its constructor asks for.
    """
    pl.seed_everything(cfg.seed, workers=False, verbose=False)
    allow, node = cfg.get("allow", ()), plain(cfg.model)
    network = node.pop("network", None) or {}
    metrics = build_metrics(plain(cfg.get("metrics") or {}), data.spec.num_classes, allow)
    module = locate(node["_target_"], allow)
    if inspect.isclass(module) and not issubclass(module, pl.LightningModule):
        raise UserError(
            f"model._target_={node['_target_']} is not a LightningModule; for a network of yours "
            f"use model.network._target_={node['_target_']}"
        )
    asked = argument_names(module)
    # Keys that only the network accepts are there for the network to refer to.
    for key in ("name", *network):
        if key != "_target_" and (asked is None or key not in asked):
            node.pop(key, None)
    offered = {
        "network": lambda: build_network(network, data.spec, allow),
        "num_classes": lambda: data.spec.num_classes,
        "spec": lambda: data.spec,
        "optimizer": lambda: build_factory(cfg.optimizer, allow),
        "scheduler": lambda: build_factory(cfg.get("scheduler"), allow),
        "metrics": lambda: metrics,
    }
    given = {name: make() for name, make in offered.items() if asked is None or name in asked}
    model = build(node, allow=allow, **given)
    check_learns(model, data)
    return model


def build_factory(node: Any, allow: Iterable[str]) -> Any:
    """A function that makes an optimizer or a scheduler; None for no scheduler.

    A class does not need `_partial_`: it is called later, with the parameters or the optimizer.
    """
    node = plain(node or {"_target_": None})
    if node["_target_"] is None:
        return None
    found = locate(node["_target_"], allow)
    if inspect.isclass(found) and issubclass(found, Optimizer | LRScheduler):
        node["_partial_"] = True
    return build(node, allow=allow)


def check_learns(model: Any, data: ImageDataModule) -> None:
    """Raise UserError if a classifier is given masks, or a segmenter labels."""
    segments = isinstance(model, ImageSegmenter)
    if isinstance(model, ImageClassifier) and segments != data.has_masks:
        what, remedy = ("images", "a classifier, as model=cnn callbacks=default")
        if data.has_masks:
            what, remedy = ("pixels", "model=segmentation callbacks=segmentation")
        raise UserError(
            f"{data.name} has classes of {what}, not what this model learns; use {remedy}"
        )


def build_trainer(cfg: DictConfig, data: ImageDataModule, record: RunRecord) -> pl.Trainer:
    """Lightning's Trainer with our callbacks and loggers."""
    allow = cfg.get("allow", ())
    last = Path(cfg.paths.run_dir) / "checkpoints" / LAST
    callbacks = [Seeding(cfg.seed), StopOnDivergence(), *build_callbacks(cfg, data)]
    if cfg.get("mixing"):
        figures = Path(cfg.paths.run_dir) / "figures"
        callbacks += [build(cfg.mixing, allow=allow), Previews(figures, data.spec.class_names)]
    callbacks += [StepLoss(), Heartbeat(cfg.paths.run_dir)]
    # After the callbacks that have something to record or to save.
    callbacks += [record, GracefulStop(last, cfg.get("checkpoint_minutes"))]
    node = plain(cfg.trainer)
    if node.get("enable_progress_bar") == "auto":
        node["enable_progress_bar"] = sys.stderr.isatty()
    if not node.get("enable_progress_bar"):  # Lightning then refuses a configured one
        callbacks = [each for each in callbacks if not isinstance(each, ProgressBar)]
    if not any(isinstance(each, Checkpoint) for each in callbacks):  # or Lightning would add one
        node.setdefault("enable_checkpointing", False)
    return build(
        node,
        callbacks=callbacks,
        logger=build_loggers(cfg),
        profiler=node.pop("profiler", None) or NoProfiler(),
        plugins=[SealedFiles()],
        default_root_dir=cfg.paths.run_dir,
        use_distributed_sampler=False,  # our loaders distribute the rows themselves
        allow=allow,
    )


def build_callbacks(cfg: DictConfig, data: ImageDataModule) -> list[pl.Callback]:
    """The configured callbacks; without a validation set, none that monitors one."""
    nodes = [node for node in (cfg.get("callbacks") or {}).values() if node]
    if not data.has_validation:
        nodes = [node for node in nodes if not str(node.get("monitor", "")).startswith("val/")]
    return [build(node, allow=cfg.get("allow", ())) for node in nodes]


def build_loggers(cfg: DictConfig) -> list[Any]:
    """The loggers, after each has logged the whole configuration."""
    nodes = [node for node in (cfg.get("logger") or {}).values() if node]
    loggers = [build(node, allow=cfg.get("allow", ())) for node in nodes]
    facts = {**plain(cfg), "arm": arm_slug(cfg), "hash": arm_hash(cfg)}
    for logger in loggers:
        logger.log_hyperparams(facts)
    return loggers


def plain(node: Any) -> dict[str, Any]:
    """A configuration node as plain dicts and lists."""
    found = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}
