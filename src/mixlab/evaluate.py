"""Test finished runs again: `mixlab-evaluate run=FOLDER`, of one run or of all below a folder."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from mixlab.cli import run_hydra
from mixlab.config.build import build
from mixlab.errors import UserError, counted
from mixlab.runs.atomic import make_folder, write_json
from mixlab.runs.evaluations import check_keeps
from mixlab.runs.locks import in_use, is_running
from mixlab.runs.records import StoredRun, find, read_config, shown_path
from mixlab.runs.status import Status
from mixlab.runtime import no_garbage_collection

if TYPE_CHECKING:
    from mixlab.evaluation import Views
    from mixlab.evaluation.checkpoints import Evaluated
    from mixlab.evaluation.summary import Outcome


class NotAllEvaluated(UserError):
    """Some of several runs could not be evaluated; the others were."""

    exit_status = 1


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Test the checkpoints of `cfg.run`, print what is found, and keep it in the run folders.

    The folder's configuration says what is built. Which packages it may call is decided by
    `cfg.allow`, because a run from someone else must not run code of their choice.

    Returns:
        The figures of `best` (where there is one) and `last`, see `Evaluated`, those of classes
        with `per_class`; by folder, if `cfg.run` is not one run folder.
    """
    given = cfg.run if OmegaConf.is_list(cfg.run) else [cfg.run]
    paths = [str(path) for path in given]
    if not cfg.save and (cfg.predictions or cfg.confusion):
        raise UserError(
            "predictions and confusion are written into the run folder; leave out save=false"
        )
    views = build_views(cfg)
    if len(paths) == 1 and (Path(paths[0]) / "config.yaml").is_file():
        found = print_one(Path(paths[0]), cfg, views)
        write_output(cfg, found)
        return found
    outcomes = evaluate_all(find(paths).runs, cfg, views)
    found = {shown_path(each.run.folder): each.figures for each in outcomes if each.figures}
    write_output(cfg, found)
    if views is not None and cfg.save and found:
        print(f"next: mixlab-compare {shlex.join(paths)} --by evaluation")
    if lost := len(outcomes) - len(found):
        raise NotAllEvaluated(f"{lost} of {counted(len(outcomes), 'run')} not evaluated, see above")
    return found


def build_views(cfg: DictConfig) -> "Views | None":
    """The test-time augmentation; None without one."""
    views = build(cfg.tta, allow=cfg.allow)
    for key, nothing in (("views", 1), ("vote", "mean")):
        if views is None and cfg.tta[key] != nothing:
            raise UserError(
                f"tta.{key}={cfg.tta[key]} does nothing without views; choose tta=flip, crops or "
                "randaugment"
            )
    return views


def print_one(folder: Path, cfg: DictConfig, views: "Views | None") -> dict[str, Any]:
    """Evaluate a run folder; returns its figures by checkpoint."""
    evaluation, names = evaluate_run(folder, cfg, views)
    from mixlab.evaluation.summary import print_classes, print_figures, without_classes

    found = evaluation.figures
    for when, figures in found.items():
        print_figures(when, figures, cfg.part)
        if cfg.per_class:
            print_classes(figures, cfg.part)
    if names:
        print(f"kept as {', '.join(names)} in {shown_path(folder / 'evaluation.json')}")
    if cfg.predictions or cfg.confusion:
        print(f"files in {shown_path(folder / 'evaluation')}")
    if cfg.per_class:
        return found
    return {when: without_classes(figures) for when, figures in found.items()}


def evaluate_all(
    runs: Sequence[StoredRun], cfg: DictConfig, views: "Views | None"
) -> list["Outcome"]:
    """Evaluate each finished run with the same options, and print them as a table."""
    if cfg.per_class:
        raise UserError(
            "per_class=true prints the classes of one run; for those of several, leave it out and "
            "compare: mixlab-compare ... --evaluations --per-class"
        )
    from rich.console import Console
    from rich.progress import track

    from mixlab.evaluation.summary import Outcome, print_table, without_classes

    outcomes = []
    terminal = Console(stderr=True)
    is_silent = not terminal.is_terminal
    for run in track(runs, "evaluating", console=terminal, transient=True, disable=is_silent):
        try:
            if run.status != Status.FINISHED:
                why = f": {run.problem}" if run.problem else ""
                raise UserError(f"{run.status}, only finished runs are evaluated{why}")
            evaluation, _ = evaluate_run(run.folder, cfg, views)
            figures = {w: without_classes(found) for w, found in evaluation.figures.items()}
            outcomes.append(Outcome(run, figures))
        except Exception as error:  # the others are evaluated all the same
            kind = "" if isinstance(error, UserError | OSError) else f"{type(error).__name__}: "
            outcomes.append(Outcome(run, problem=f"{kind}{error}"))
    print_table(outcomes)
    if cfg.save and any(outcome.figures for outcome in outcomes):
        print("kept in evaluation.json in each run folder")
    return outcomes


def evaluate_run(
    folder: Path, cfg: DictConfig, views: "Views | None"
) -> tuple["Evaluated", list[str]]:
    """Test the checkpoints of a run folder, and keep what is found there unless `save` is false.

    Returns:
        What was found, and the names under which it is kept.

    Raises:
        UserError: the run cannot be evaluated, or is being trained.
    """
    if is_running(folder):
        raise in_use(folder)
    if cfg.save:
        check_keeps(folder)
    run_cfg = read_config(folder, cfg)
    paths = {when: folder / "checkpoints" / f"{when}.ckpt" for when in ("best", "last")}
    paths = {when: path for when, path in paths.items() if path.is_file()}
    if not paths:
        raise UserError(f"{folder} has no checkpoints/best.ckpt nor last.ckpt; train it first")
    if cfg.metrics:
        run_cfg.metrics = OmegaConf.merge(run_cfg.get("metrics") or {}, cfg.metrics)
    with no_garbage_collection():
        from mixlab.evaluation.checkpoints import Options, evaluated

    files = {"predictions": cfg.predictions, "confusion": cfg.confusion}
    options = Options(cfg.part, views, cfg.limit_test_batches, any(files.values()))
    evaluation = evaluated(run_cfg, paths, options)
    if not cfg.save:
        return evaluation, []
    from mixlab.evaluation.files import save

    return evaluation, save(folder, evaluation, options, paths, **files)


def write_output(cfg: DictConfig, found: dict[str, Any]) -> None:
    """Write the figures to the file that was asked for."""
    if cfg.output is not None:
        make_folder(Path(cfg.output).absolute().parent, "output")
        write_json(Path(cfg.output), found)


def main() -> None:
    """The command `mixlab-evaluate`."""
    run_hydra(evaluate, "evaluate")


if __name__ == "__main__":
    main()
