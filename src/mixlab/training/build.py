"""From a configuration to an `Experiment`: data, model, callbacks and Lightning's Trainer."""

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Checkpoint, ProgressBar
from pytorch_lightning.profilers import PassThroughProfiler

from mixlab.callbacks import GracefulStop, Seeding, StepLoss, StopOnDivergence
from mixlab.callbacks.bar_loss import BarLoss
from mixlab.callbacks.epoch_lines import EpochLines
from mixlab.callbacks.pace import Pace
from mixlab.callbacks.previews import Previews
from mixlab.callbacks.run_record import Heartbeat, RunRecord
from mixlab.callbacks.trial_reports import TrialReports
from mixlab.config.allowlist import locate
from mixlab.config.build import build, plain
from mixlab.config.secrets import without_paths
from mixlab.data import ImageDataModule
from mixlab.data.sampler import GUESTS
from mixlab.errors import UserError
from mixlab.models.networks.pretrained import pretrained_scale
from mixlab.reporting.labels import knob_labels, settings_of
from mixlab.runs import arm_hash, arm_slug
from mixlab.runs.atomic import read_json
from mixlab.runs.checkpoints import LAST
from mixlab.runs.identity import watching
from mixlab.runtime import keep_memory, quiet, set_threads, threads_for
from mixlab.training.cluster import cluster
from mixlab.training.model import build_model
from mixlab.training.ranks import ALL_THERE_ARE, check_strategy, launched
from mixlab.training.sealed_files import SealedFiles

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
    found = locate(node["_target_"], allow)
    if inspect.isclass(found) and not issubclass(found, ImageDataModule):
        kind, choice = "data set", "data=torch data.source.train"
        if issubclass(found, pl.LightningDataModule):
            kind, choice = "LightningDataModule", "data=lightning data.source.module"
        raise UserError(
            f"data._target_={node['_target_']} is not mixlab's data module; for a {kind} of yours "
            f"use {choice}._target_={node['_target_']}"
        )
    module = {"_target_", *inspect.signature(ImageDataModule).parameters}
    data = build(
        {key: value for key, value in node.items() if key in module or key not in source},
        augmentation=augmentation,
        guests=partners if partners in GUESTS else None,
        seed=cfg.seed,
        allow=allow,
    )
    if data.multi_label and partners in ("same_class", "other_class", "confusable"):
        raise UserError(
            f"mixing.partners={partners} needs one class an image, and {data.name} has several "
            "labels; use permutation"
        )
    if node.get("normalize") is None and OmegaConf.select(cfg, "model.pretrained"):
        data.normalize(pretrained_scale(cfg.model.name, data.spec.channels))
    return data


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
    callbacks += [record, Pace(record), GracefulStop(last, cfg.get("checkpoint_minutes"))]
    if cfg.get("trial_of"):
        callbacks.append(TrialReports(cfg.paths.run_dir, cfg.optimized_metric, record))
    node, launch = plain(cfg.trainer), launched()
    check_strategy(node.get("strategy"))
    if launch is not None and node["devices"] in ALL_THERE_ARE:
        node["devices"] = launch.local_size
    if node.get("enable_progress_bar") == "auto":
        node["enable_progress_bar"] = sys.stderr.isatty()
    if not node.get("enable_progress_bar"):  # Lightning then refuses a configured one
        callbacks = [each for each in callbacks if not isinstance(each, ProgressBar)]
        callbacks.append(EpochLines(record))
    else:
        callbacks.append(BarLoss())
    if not any(isinstance(each, Checkpoint) for each in callbacks):  # or Lightning would add one
        node.setdefault("enable_checkpointing", False)
    trainer = build(
        node,
        callbacks=callbacks,
        logger=build_loggers(cfg),
        profiler=node.pop("profiler", None) or NoProfiler(),
        plugins=[SealedFiles(), cluster(launch)],
        default_root_dir=cfg.paths.run_dir,
        use_distributed_sampler=False,  # our loaders distribute the rows themselves
        allow=allow,
    )
    check_synchronized(trainer, cfg)
    return trainer


def check_synchronized(trainer: pl.Trainer, cfg: DictConfig) -> None:
    """Raise UserError where statistics cannot be those of all processes."""
    asked = cfg.trainer.get("sync_batchnorm") and trainer.world_size > 1
    if asked and trainer.strategy.root_device.type == "cpu":
        raise UserError(
            "trainer.sync_batchnorm=true needs GPUs, torch has none of it for CPUs; leave it out"
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
    loggers = [build(node, allow=cfg.get("allow", ()), **wandb_names(node, cfg)) for node in nodes]
    config = without_paths(plain(cfg), plain(cfg.paths))
    facts = {**config, "arm": arm_slug(cfg), "hash": arm_hash(cfg)}
    for logger in loggers:
        logger.log_hyperparams(facts)
    return loggers


def wandb_names(node: Mapping[str, Any], cfg: DictConfig) -> dict[str, str]:
    """The run's name in W&B and that of its group: its arm in words, and the arm's hash.

    A sweep knows its other arms, and has recorded what tells them apart. A name of the user's
    stays, and other loggers get none.
    """
    if node.get("_target_") != "mixlab.loggers.WandbRun":
        return {}
    label = read_json(Path(cfg.paths.run_dir) / "run.json").get("label")
    label = label or knob_labels({"": settings_of(plain(cfg), watching(cfg))})[""]
    names = {"name": f"{label} seed {cfg.seed}", "group": f"{label} ({arm_hash(cfg)})"}
    return {key: name for key, name in names.items() if not node.get(key)}
