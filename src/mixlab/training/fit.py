"""Train and test a run in its folder."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from mixlab.callbacks import Diverged
from mixlab.callbacks.run_record import best_checkpoint
from mixlab.callbacks.trial_reports import Pruned, check_pruned
from mixlab.loggers import WandbRun
from mixlab.loggers.dashboard import tell_facts, tell_results
from mixlab.models.metrics import recorded_metrics
from mixlab.runs import Run
from mixlab.runs.checkpoints import LAST, PREVIOUS, export_weights, load_checkpoint
from mixlab.runs.provenance import hardware
from mixlab.runs.status import Status
from mixlab.training.banner import banner
from mixlab.training.build import Experiment
from mixlab.training.rank_errors import first_error
from mixlab.training.rank_watch import watching_ranks
from mixlab.training.resume import ResumePoint, epochs_of, resume_point, weights_record

Results = dict[str, Any]
RANK = Path(__file__).resolve().parents[1] / "rank.py"


def fit(run: Run) -> Results:
    """Train and test a run in its folder, in every rank of its process group."""
    with first_error(run):
        start = resume_point(run)
        # A run that resumes keeps its number of threads.
        threads = run.record.get("threads")
        experiment = Experiment.build(run.cfg, threads=threads, resumes=start.is_own)
        write_begin(run, experiment, start)
        with (
            closing_loggers(experiment.trainer),
            watching_ranks(run, experiment, partial(close_loggers, experiment.trainer, True)),
            ranks_join(run.folder, run.cfg.get("allow", ())),
        ):
            results, class_accuracy = fit_and_test(run, experiment, start)
        finish(run, experiment, results, class_accuracy)
    return results


def write_begin(run: Run, experiment: Experiment, start: ResumePoint) -> None:
    """Record what is about to be trained, from where and on what hardware."""
    trainer = experiment.trainer
    if trainer.is_global_zero:
        print(banner(run.cfg, experiment), flush=True)
    if start.is_own and start.checkpoint and trainer.is_global_zero:
        trouble = f"{start.trouble}; " if start.trouble else ""
        print(f"{trouble}the run resumes from {start.checkpoint.name}", flush=True)
    run.begin(
        resumes=start.is_own,
        threads=experiment.threads,
        hardware=hardware(),
        data=experiment.data.record(),
        weights=weights_record(run.cfg),
        resumed_from=start.words,
        accelerator=trainer.strategy.root_device.type,
        devices=trainer.num_devices,
        nodes=trainer.num_nodes,
        strategy=type(trainer.strategy).__name__,
        metrics=recorded_metrics(experiment.model),
    )
    tell_facts(trainer.loggers, experiment.model, run.record)


def fit_and_test(
    run: Run, experiment: Experiment, start: ResumePoint
) -> tuple[Results, dict[str, Any]]:
    """Train and test; return the results and, by checkpoint, the accuracy of each class."""
    trainer, data, record = experiment.trainer, experiment.data, experiment.record
    last = run.checkpoints / LAST
    if run.record.get("trained") and start.checkpoint == last:  # only its tests are missing
        trainer.fit_loop.max_epochs = epochs_of(last)
    try:
        trainer.fit(experiment.model, data, ckpt_path=start.checkpoint, weights_only=True)
        check_pruned(trainer)
        run.write(trained=True)
        results, by_class = record.results(trainer), {}
        if run.cfg.test and data.has_test and not run.cfg.trainer.fast_dev_run:
            by_class = test(experiment, results)
        # Of the last test, which is that of the best checkpoint if there is one.
        confusion = getattr(experiment.model, "confusion", ()) if by_class else ()
        tell_results(trainer.loggers, results, data.spec.class_names, by_class, confusion)
        return results, by_class
    except (Diverged, Pruned):
        run.write(results=record.results(trainer), **progress(experiment))
        raise


def finish(run: Run, experiment: Experiment, results: Results, by_class: dict[str, Any]) -> None:
    """Export the weights and record the results."""
    spec = experiment.data.spec
    if experiment.trainer.is_global_zero:
        export_weights(run, spec)
        (run.checkpoints / PREVIOUS).unlink(missing_ok=True)
    run.end(
        Status.FINISHED,
        results=results,
        class_accuracy={"classes": list(spec.class_names), **by_class},
        **progress(experiment),
    )


def progress(experiment: Experiment) -> dict[str, Any]:
    """The number of epochs, their time, how much was mixed, and what chose the best checkpoint."""
    chosen = best_checkpoint(experiment.trainer)
    return {
        "epochs": experiment.trainer.current_epoch,
        "seconds_per_epoch": experiment.record.seconds_per_epoch(),
        "mixed_share": experiment.record.mixed_share(),
        "monitor": {"metric": chosen.monitor, "mode": chosen.mode} if chosen else None,
    }


def test(experiment: Experiment, results: Results) -> dict[str, list[float | None]]:
    """Test the last weights, then the checkpoint chosen on validation.

    The last weights come from the last checkpoint if it is of the last step: if an earlier process
    made that step, the model in memory does not have the averaged weights.

    Adds the figures to `results`, and returns the accuracy of each class by checkpoint.
    """
    trainer, model = experiment.trainer, experiment.model
    results["last"] |= tested(experiment, last_checkpoint(trainer))
    by_class = {"last": getattr(model, "class_accuracy", [])}  # a user's model may have none
    chosen = best_checkpoint(trainer)
    if results["best"] is not None and chosen is not None:
        results["best"] |= tested(experiment, Path(chosen.best_model_path))
        by_class["best"] = getattr(model, "class_accuracy", [])
    for when, row in results.items():
        figures = {f"{key}/{when}": row[key] for key in row or () if key.startswith("test/")}
        for logger in trainer.loggers if figures else ():
            logger.log_metrics(figures, trainer.global_step)
    return by_class


def tested(experiment: Experiment, checkpoint: Path | None = None) -> dict[str, float]:
    """Test figures with the weights of a checkpoint, by default the current ones."""
    trainer, model = experiment.trainer, experiment.model
    if checkpoint is not None:
        trainer.strategy.connect(model)
        trainer.strategy.load_model_state_dict(load_checkpoint(checkpoint))
    loggers, trainer.loggers = trainer.loggers, []  # `test` logs with the checkpoint's name
    trainer.test(model, experiment.data, verbose=False)
    trainer.loggers = loggers
    metrics = trainer.callback_metrics.items()
    return {key: float(value) for key, value in metrics if key.startswith("test/")}


def last_checkpoint(trainer: pl.Trainer) -> Path | None:
    """The last checkpoint, if it is of the trainer's last step."""
    path = Path(trainer.default_root_dir) / "checkpoints" / LAST
    if path.is_file() and load_checkpoint(path)["global_step"] == trainer.global_step:
        return path
    return None


@contextmanager
def ranks_join(folder: Path, allow: Iterable[str] = ()) -> Iterator[None]:
    """Within, Lightning starts the other ranks of a run with `mixlab/rank.py` and `folder`."""
    main = sys.modules["__main__"]
    argv, spec = sys.argv, getattr(main, "__spec__", None)
    sys.argv = [str(RANK), str(folder), ",".join(allow)]
    main.__spec__ = None
    try:
        yield
    finally:
        sys.argv, main.__spec__ = argv, spec


@contextmanager
def closing_loggers(trainer: pl.Trainer) -> Iterator[None]:
    """Close W&B's run afterward, or the next job of this process would write into it."""
    failed = True
    try:
        yield
        failed = False
    finally:
        close_loggers(trainer, failed)


def close_loggers(trainer: pl.Trainer, failed: bool) -> None:
    """Close W&B's run."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbRun):
            logger.close(failed)
