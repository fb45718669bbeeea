"""Train and test a run in its folder."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from mixlab.callbacks import Diverged, RunRecord
from mixlab.callbacks.run_record import best_checkpoint
from mixlab.data import ImageDataModule
from mixlab.loggers import WandbRun
from mixlab.runs import Run
from mixlab.runs.checkpoints import LAST, PREVIOUS, export_weights, load_checkpoint, newest
from mixlab.runs.provenance import hardware
from mixlab.runtime import keep_memory, quiet, set_threads, threads_for
from mixlab.training.build import build_data, build_model, build_trainer, model_device
from mixlab.training.ranks import ranks_join
from mixlab.training.resume import epochs_of, named_start


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
        model.load_state_dict(load_checkpoint(Path(checkpoint))["state_dict"])
    loggers, trainer.loggers = trainer.loggers, []  # they are told which checkpoint it was
    trainer.test(model, data, verbose=False)
    trainer.loggers = loggers
    metrics = trainer.callback_metrics.items()
    return {key: float(value) for key, value in metrics if key.startswith("test/")}


def last_checkpoint(trainer: pl.Trainer) -> Path | None:
    """The run's last checkpoint, if it is of the trainer's last step."""
    path = Path(trainer.default_root_dir) / "checkpoints" / LAST
    here = path.is_file() and load_checkpoint(path)["global_step"] == trainer.global_step
    return path if here else None


def close_loggers(trainer: pl.Trainer, failed: bool) -> None:
    """End W&B's run, or the next job of this process would write into it."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbRun):
            logger.close(failed)


def monitored(trainer: pl.Trainer) -> dict[str, Any] | None:
    """What chose the best checkpoint."""
    chosen = best_checkpoint(trainer)
    return {"metric": chosen.monitor, "mode": chosen.mode} if chosen else None
