"""A run's checkpoints, tested on its own data in one process."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from mixlab.data import ImageDataModule
from mixlab.data.augmentation.augmentation import KINDS
from mixlab.data.datamodule import images_only
from mixlab.data.sampler import EvalBatchSampler
from mixlab.errors import UserError
from mixlab.evaluation.tta import Views
from mixlab.evaluation.voting import Answers, Voting
from mixlab.models.metrics import recorded_metrics
from mixlab.training.build import Experiment
from mixlab.training.cluster import cluster
from mixlab.training.fit import tested

PARTS = {"test": "test", "val": "validation"}


@dataclass(frozen=True)
class Options:
    """How checkpoints are tested.

    Attributes:
        part: `test` or `val`.
        views: that vote; None without.
        limit: batches, or their share as a float, as Lightning's `limit_test_batches`.
        keeps_answers: whether the answer to each row is needed.
    """

    part: str = "test"
    views: Views | None = None
    limit: int | float = 1.0
    keeps_answers: bool = False

    @property
    def words(self) -> str:
        """As in `test` or `val limit_test_batches=2`, without the views."""
        is_whole = self.limit == 1 and isinstance(self.limit, float)  # 1 is one batch
        return self.part + ("" if is_whole else f" limit_test_batches={self.limit}")


@dataclass
class Evaluated:
    """What was found, by checkpoint.

    Attributes:
        figures: such as `test/accuracy`; with views also `tta/accuracy`, and how many images they
            `tta/gained` and `tta/lost`; `test/class_accuracy` and `tta/class_accuracy` by name.
        answers: by the images alone and by the vote, where they were kept.
        sha256: of the data.
        rows: that were tested.
        metrics: unit and direction of each, by name.
    """

    data: ImageDataModule
    sha256: str
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, tuple[Answers, Answers]] = field(default_factory=dict)
    rows: int = 0
    metrics: Mapping[str, Any] = field(default_factory=dict)


def evaluated(cfg: DictConfig, paths: Mapping[str, Path], options: Options) -> Evaluated:
    """Test each checkpoint of a run's configuration; `paths` by `best` and `last`.

    Raises:
        UserError: the data have no such part, or not one class an image where that is needed.
    """
    cfg = cfg.copy()
    cfg.trainer.devices = 1
    experiment = Experiment.build(
        cfg,
        check=partial(
            check_part, options=options, label_preserving=cfg.data.get("label_preserving") or ()
        ),
        trainer=partial(testing_trainer, options),
    )
    model, data, part = experiment.model, experiment.data, options.part
    found = Evaluated(data, data.fingerprint, metrics=recorded_metrics(model))
    data.parts = replace(data.parts, test=data.parts.named()[part])  # a test tests this part
    for when, path in paths.items():
        figures = tested(experiment, path)
        figures = {f"{part}/{name.partition('/')[2]}": x for name, x in figures.items()}
        by_class = getattr(model, "class_accuracy", [])
        found.figures[when] = figures | {f"{part}/class_accuracy": by_class_name(by_class, data)}
        if options.views is not None or options.keeps_answers:
            found.answers[when] = answers(experiment, options.views)
        if options.views is not None:
            found.figures[when] |= gains(*found.answers[when], experiment)
    batches = experiment.trainer.num_test_batches[0]
    plan = EvalBatchSampler(data.parts.test.rows, data.eval_batch_size).batches()
    found.rows = sum(len(rows) for _, rows in islice(plan, int(batches)))
    return found


def check_part(
    data: ImageDataModule, options: Options, label_preserving: Collection[str] = KINDS
) -> None:
    """Raise UserError if the data do not have what is to be tested, or a view changes labels."""
    if options.views is not None:
        images_only(data.spec, str(data.name), "tta")
        options.views.check(label_preserving, str(data.name))
    rows = data.parts.named()
    if not len(rows[options.part]):
        remedy = "use part=val" if len(rows["val"]) else "give data with one"
        raise UserError(f"the data of {data.name} have no {PARTS[options.part]} set; {remedy}")
    has_one = not data.has_masks and not data.multi_label
    if not has_one and (options.views is not None or options.keeps_answers):
        labels = "a class for each pixel" if data.has_masks else "several labels an image"
        raise UserError(
            f"{data.name} has {labels}, and views, predictions and the confusion matrix are for "
            "one class an image; leave out tta, predictions and confusion"
        )


def testing_trainer(options: Options, cfg: DictConfig, *_: Any) -> pl.Trainer:
    """A trainer that tests in this one process, and writes nothing."""
    return pl.Trainer(
        devices=1,
        precision=cfg.trainer.precision,
        limit_test_batches=options.limit,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        plugins=[cluster(None)],
    )


def answers(experiment: Experiment, views: Views | None) -> tuple[Answers, Answers]:
    """By the images alone and by the vote, with the model's current weights."""
    voting = Voting(experiment.model, experiment.data, views)
    experiment.trainer.test(voting, experiment.data.test_dataloader(), verbose=False)
    experiment.data.teardown("test")
    return voting.answers


def gains(alone: Answers, voted: Answers, experiment: Experiment) -> dict[str, Any]:
    """Figures of the vote, and the images that only it, or only the image alone, gets right."""
    metrics = getattr(experiment.model, "metrics", ())
    figures = voted.figures(metrics if isinstance(metrics, tuple) else ())
    return {
        **{f"tta/{name}": value for name, value in figures.items()},
        "tta/gained": voted.gains_on(alone),
        "tta/lost": alone.gains_on(voted),
        "tta/class_accuracy": by_class_name(voted.class_accuracy(), experiment.data),
    }


def by_class_name(values: list[float | None], data: ImageDataModule) -> dict[str, float | None]:
    """Values of the classes by name; empty if a user's module records none."""
    return dict(zip(data.spec.class_names, values, strict=False))
