"""Test a finished run's checkpoints again: `mixlab-evaluate run=FOLDER`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from mixlab.cli import run_hydra
from mixlab.config.build import build
from mixlab.errors import UserError
from mixlab.runs.atomic import write_json
from mixlab.runs.records import read_config

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from mixlab.data import ImageDataModule
    from mixlab.evaluation import Views
    from mixlab.training.build import Experiment


def evaluate(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """Test `best.ckpt` and `last.ckpt` of a run folder and print what is found.

    The folder's configuration says what is built. Which packages it may call is decided by
    `cfg.allow`, because a run from someone else must not run code of their choice.

    Returns:
        For `best` (where there is one) and `last`: `test/accuracy`, `test/loss`; with views,
        `tta/accuracy` and how many images they `tta/gained` and `tta/lost`; with `per_class`,
        `test/class_accuracy` and `tta/class_accuracy`, by name.
    """
    folder = Path(cfg.run)
    run_cfg = read_config(folder, cfg)
    views = build_views(cfg)
    paths = {when: folder / "checkpoints" / f"{when}.ckpt" for when in ("best", "last")}
    paths = {when: path for when, path in paths.items() if path.is_file()}
    if not paths:
        raise UserError(f"{folder} has no checkpoints/best.ckpt nor last.ckpt; train it first")
    if views is not None:
        views.check(run_cfg.data.get("label_preserving") or (), run_cfg.data.name)
    found = test_checkpoints(run_cfg, paths, views)
    if not cfg.per_class:
        found = {when: without_classes(figures) for when, figures in found.items()}
    for when, figures in found.items():
        print_figures(when, figures)
        if cfg.per_class:
            print_classes(figures)
    if cfg.output is not None:
        write_json(Path(cfg.output), found)
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


def without_classes(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures of all classes together."""
    return {key: value for key, value in figures.items() if not key.endswith("class_accuracy")}


def print_figures(when: str, figures: dict[str, Any]) -> None:
    """One line on a checkpoint, and one on the vote of the views."""
    plain = {
        name: value for name, value in without_classes(figures).items() if name.startswith("test/")
    }
    print(f"{when}: " + ", ".join(f"{name} {value:.4f}" for name, value in plain.items()))
    if "tta/accuracy" in figures:
        vote, gained, lost = (figures[f"tta/{name}"] for name in ("accuracy", "gained", "lost"))
        change = f"{vote - plain['test/accuracy']:+.4f}: {gained} images gained, {lost} lost"
        print(f"{when}, views voting: test/accuracy {vote:.4f} ({change})")


def print_classes(figures: dict[str, Any]) -> None:
    """A table of the accuracy of each class in percent, without and with the views."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    alone, voted = figures["test/class_accuracy"], figures.get("tta/class_accuracy")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("class", overflow="fold")
    for heading in ("accuracy", "voting", "difference") if voted else ("accuracy",):
        table.add_column(heading, justify="right")
    for name, value in alone.items():
        cells = [percent(value)]
        if voted:
            change = None if value is None else voted[name] - value
            cells += [percent(voted[name]), percent(change, "+")]
        table.add_row(Text(name), *cells)
    Console().print(Padding(table, (0, 0, 0, 2)))


def percent(value: float | None, sign: str = "") -> str:
    """A share, or a difference of shares, in percent; `-` where there is none."""
    return "-" if value is None else f"{100 * value:{sign}.2f}"


def test_checkpoints(
    cfg: DictConfig, paths: dict[str, Path], views: "Views | None" = None
) -> dict[str, dict[str, Any]]:
    """Test each checkpoint on the run's own test set, in one process."""
    from mixlab.training.build import Experiment
    from mixlab.training.fit import tested

    cfg = cfg.copy()
    cfg.trainer.devices = 1
    experiment = Experiment.build(cfg, check=check_has_test, trainer=testing_trainer)
    found: dict[str, dict[str, Any]] = {}
    for when, path in paths.items():
        found[when] = {**tested(experiment, path)}
        found[when]["test/class_accuracy"] = by_class_name(
            getattr(experiment.model, "class_accuracy", []), experiment.data
        )
        if views is not None:
            found[when] |= voted(experiment, views)
    return found


def check_has_test(data: "ImageDataModule") -> None:
    """Raise UserError if the data have no test set."""
    if not data.has_test:
        raise UserError(f"the data of {data.name} have no test set; give a file that has one")


def testing_trainer(cfg: DictConfig, *_: Any) -> "pl.Trainer":
    """A trainer that tests in this one process, and writes nothing."""
    import pytorch_lightning as pl

    return pl.Trainer(
        devices=1,
        precision=cfg.trainer.precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def voted(experiment: "Experiment", views: "Views") -> dict[str, Any]:
    """Figures of the test set by the vote of the views, with the model's current weights."""
    from mixlab.evaluation import Voting

    data = experiment.data
    voting = Voting(experiment.model, data, views)
    experiment.trainer.test(voting, data.test_dataloader(), verbose=False)
    data.teardown("test")
    ballot = voting.ballot
    return {
        "tta/accuracy": ballot.accuracy,
        "tta/gained": ballot.gained,
        "tta/lost": ballot.lost,
        "tta/class_accuracy": by_class_name(ballot.voted.accuracy(lambda counts: counts), data),
    }


def by_class_name(values: list[float | None], data: Any) -> dict[str, float | None]:
    """Values of the classes by name; empty if a user's module records none."""
    return dict(zip(data.spec.class_names, values, strict=False))


def main() -> None:
    """The command `mixlab-evaluate`."""
    run_hydra(evaluate, "evaluate")


if __name__ == "__main__":
    main()
