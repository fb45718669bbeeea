"""From a configuration to Lightning's objects, and through fit and test."""

import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from mixlab.callbacks import (
    Diverged,
    GracefulStop,
    Heartbeat,
    Previews,
    RunRecord,
    Seeding,
    StepLoss,
    StopOnDivergence,
)
from mixlab.callbacks.record import best_checkpoint
from mixlab.config import build
from mixlab.data import ImageDataModule
from mixlab.data.plan import GUESTS
from mixlab.loggers import WandbRun
from mixlab.models import ImageClassifier, ImageSegmenter
from mixlab.profiler import NoProfiler
from mixlab.runs import Run, arm_hash, arm_slug
from mixlab.runs.checkpoints import LAST, PREVIOUS, Broken, SealedFiles, load, newest
from mixlab.runs.join import ranks_join
from mixlab.runs.launch import threads_for
from mixlab.runs.provenance import hardware
from mixlab.runs.weights import export_weights
from mixlab.runtime import keep_memory, quiet, set_threads


def fit(run: Run) -> dict[str, Any]:
    """Train and test a run in its folder. Every rank of its process group comes through here."""
    cfg = run.cfg
    quiet()
    keep_memory()
    threads = run.record.get("threads") or cfg.threads  # a run that goes on keeps its number
    threads = set_threads(threads_for(cfg, jobs=1) if threads == "auto" else threads)
    data = build_data(cfg)
    model = build_model(cfg, data)
    last = run.checkpoints / LAST
    own, trouble = newest(run.checkpoints)
    start = own or named_start(cfg)
    record = RunRecord(goes_on=own is not None)
    trainer = build_trainer(cfg, data, record)
    facts = {"accelerator": model_device(trainer), "devices": trainer.num_devices}
    if own and trainer.is_global_zero:
        print(f"{trouble + '; ' if trouble else ''}the run goes on from {own.name}", flush=True)
    run.begin(
        goes_on=own is not None,
        threads=threads,
        hardware=hardware(),
        data=data.record(),
        resumed_from=start and "; ".join(filter(None, (start.name, trouble))),
        **facts,
    )
    failed = True
    try:
        with ranks_join(run.folder, cfg.get("allow", ())):
            if run.record.get("trained") and own == last:  # its tests alone are missing
                trainer.fit_loop.max_epochs = epochs_of(last)
            trainer.fit(model, data, ckpt_path=start, weights_only=True)
            run.write(trained=True)
            results, by_class = record.results(trainer), {}
            if cfg.test and data.has_test and not cfg.trainer.fast_dev_run:
                by_class = test(trainer, model, data, results)
        failed = False
    except Diverged:
        run.write(results=record.results(trainer), **progress(trainer, record))
        raise
    finally:
        close_loggers(trainer, failed)
    if trainer.is_global_zero:
        export_weights(run, data.spec)
        (run.checkpoints / PREVIOUS).unlink(missing_ok=True)
    run.end(
        "finished",
        results=results,
        class_accuracy={"classes": list(data.spec.class_names), **by_class},
        **progress(trainer, record),
    )
    return results


def progress(trainer: pl.Trainer, record: RunRecord) -> dict[str, Any]:
    """How far a training came, and what chose its best checkpoint."""
    return {
        "epochs": trainer.current_epoch,
        "seconds_per_epoch": record.seconds_per_epoch(),
        "monitor": monitored(trainer),
    }


def build_data(cfg: DictConfig) -> ImageDataModule:
    """The data module, with its augmentation."""
    allow = cfg.get("allow", ())
    augmentation = build(cfg.augmentation, allow=allow) if cfg.get("augmentation") else None
    partners = cfg.mixing.get("partners") if cfg.get("mixing") else None
    return build(
        cfg.data,
        augmentation=augmentation,
        guests=partners if partners in GUESTS else None,
        seed=cfg.seed,
        allow=allow,
    )


def build_model(cfg: DictConfig, data: ImageDataModule) -> ImageClassifier:
    """The network, sized by the data, its initial weights a function of the seed alone."""
    pl.seed_everything(cfg.seed, workers=False, verbose=False)
    allow = cfg.get("allow", ())
    network = build(cfg.model.network, data.spec, allow=allow)
    model = build(
        {key: value for key, value in plain(cfg.model).items() if key not in ("network", "name")},
        network=network,
        num_classes=data.spec.num_classes,
        optimizer=build(cfg.optimizer, allow=allow),
        scheduler=build(cfg.scheduler, allow=allow) if cfg.get("scheduler") else None,
        allow=allow,
    )
    check_learns(model, data)
    return model


def check_learns(model: Any, data: ImageDataModule) -> None:
    """Raise ValueError where one of ours is given masks for labels, or the reverse."""
    segments = isinstance(model, ImageSegmenter)
    if isinstance(model, ImageClassifier) and segments != data.has_masks:
        what, remedy = ("images", "a classifier, as model=cnn callbacks=default")
        if data.has_masks:
            what, remedy = ("pixels", "model=segmentation callbacks=segmentation")
        raise ValueError(
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
    # After all that has something to record or to save.
    callbacks += [record, GracefulStop(last, cfg.get("checkpoint_minutes"))]
    node = plain(cfg.trainer)
    if node.get("enable_progress_bar") == "auto":
        node["enable_progress_bar"] = sys.stderr.isatty()
    return build(
        node,
        callbacks=callbacks,
        logger=build_loggers(cfg),
        profiler=node.pop("profiler", None) or NoProfiler(),
        plugins=[SealedFiles()],
        default_root_dir=cfg.paths.run_dir,
        use_distributed_sampler=False,  # our loaders deal the rows out themselves
        allow=allow,
    )


def build_callbacks(cfg: DictConfig, data: ImageDataModule) -> list[pl.Callback]:
    """Those of the configuration, less what would watch a validation set that there is not."""
    nodes = [node for node in (cfg.get("callbacks") or {}).values() if node]
    if not data.has_validation:
        nodes = [node for node in nodes if not str(node.get("monitor", "")).startswith("val/")]
    return [build(node, allow=cfg.get("allow", ())) for node in nodes]


def build_loggers(cfg: DictConfig) -> list[Any]:
    """The loggers, each told the whole configuration, nested."""
    nodes = [node for node in (cfg.get("logger") or {}).values() if node]
    loggers = [build(node, allow=cfg.get("allow", ())) for node in nodes]
    facts = {**plain(cfg), "arm": arm_slug(cfg), "hash": arm_hash(cfg)}
    for logger in loggers:
        logger.log_hyperparams(facts)
    return loggers


def test(
    trainer: pl.Trainer, model: Any, data: ImageDataModule, results: dict[str, Any]
) -> dict[str, list[float | None]]:
    """Judge on the test set: the last weights, then the checkpoint chosen on validation.

    The last weights are those of the last checkpoint, where it is of now: averaged ones are in no
    model that was trained before it got here.

    Writes the figures into `results`, and returns the accuracy of each class by checkpoint.
    """
    results["last"] |= tested(trainer, model, data, last_checkpoint(trainer))
    by_class = {"last": getattr(model, "class_accuracy", [])}  # a user's module may have none
    chosen = best_checkpoint(trainer)
    if results["best"] is not None and chosen is not None:
        results["best"] |= tested(trainer, model, data, chosen.best_model_path)
        by_class["best"] = getattr(model, "class_accuracy", [])
    for when, row in results.items():
        figures = {f"{key}/{when}": row[key] for key in row or () if key.startswith("test/")}
        for logger in trainer.loggers if figures else ():
            logger.log_metrics(figures, trainer.global_step)
    return by_class


def tested(
    trainer: pl.Trainer, model: Any, data: ImageDataModule, checkpoint: str | Path | None = None
) -> dict[str, float]:
    """Figures of the test set, with the weights of a checkpoint or those the model has."""
    if checkpoint is not None:
        model.load_state_dict(load(Path(checkpoint))["state_dict"])
    loggers, trainer.loggers = trainer.loggers, []  # they are told which checkpoint it was
    trainer.test(model, data, verbose=False)
    trainer.loggers = loggers
    metrics = trainer.callback_metrics.items()
    return {key: float(value) for key, value in metrics if key.startswith("test/")}


def last_checkpoint(trainer: pl.Trainer) -> Path | None:
    """The run's last checkpoint, if it is of the trainer's last step."""
    path = Path(trainer.default_root_dir) / "checkpoints" / LAST
    here = path.is_file() and load(path)["global_step"] == trainer.global_step
    return path if here else None


def epochs_of(checkpoint: Path) -> int:
    """How many epochs a finished training had, be it that something stopped it early."""
    return load(checkpoint)["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]


def named_start(cfg: DictConfig) -> Path | None:
    """The checkpoint that the user names to start from."""
    if cfg.ckpt_path is None:
        return None
    if not Path(cfg.ckpt_path).is_file():
        raise ValueError(
            f"ckpt_path={cfg.ckpt_path} is not there; name a file such as .../last.ckpt"
        )
    try:
        load(Path(cfg.ckpt_path))
    except Broken as error:
        raise ValueError(f"ckpt_path: {error.fault}; name another .../last.ckpt") from None
    return Path(cfg.ckpt_path)


def close_loggers(trainer: pl.Trainer, failed: bool) -> None:
    """End W&B's run, or the next job of this process would write into it."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbRun):
            logger.close(failed)


def monitored(trainer: pl.Trainer) -> dict[str, Any] | None:
    """What chose the best checkpoint."""
    chosen = best_checkpoint(trainer)
    return {"metric": chosen.monitor, "mode": chosen.mode} if chosen else None


def model_device(trainer: pl.Trainer) -> str:
    """cpu, cuda, mps."""
    return trainer.strategy.root_device.type


def plain(node: Any) -> dict[str, Any]:
    """A configuration node as dicts, lists and numbers."""
    found = OmegaConf.to_container(node, resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}
