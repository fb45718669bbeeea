"""What W&B's run shows beside metrics: what made it, its best figures, its classes."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from mixlab.loggers.wandb_run import WandbRun

MOST_CLASSES = 100  # of a confusion matrix, which has a row of the table for each pair of classes


def tell_facts(loggers: Iterable[Any], model: nn.Module, record: Mapping[str, Any]) -> None:
    """Add to the configuration, under `facts`, what `run.json` says of data, code and machine."""
    told = [logger for logger in loggers if isinstance(logger, WandbRun)]
    for logger in told:
        logger.log_hyperparams({"facts": run_facts(model, record)})


def run_facts(model: nn.Module, record: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters, rows and hash of the data, hash of the code, versions and hardware."""
    code = json.dumps(record.get("code"), sort_keys=True).encode()
    data = record.get("data") or {}
    kept = ("versions", "git", "hardware", "threads", "accelerator", "devices")
    return {
        "parameters": sum(each.numel() for each in model.parameters()),
        "trained_parameters": sum(x.numel() for x in model.parameters() if x.requires_grad),
        "data": {k: v for k, v in data.items() if k == "sha256" or k.endswith("_rows")},
        "code_sha256": hashlib.sha256(code).hexdigest(),
        **{name: record.get(name) for name in kept},
    }


def tell_results(
    loggers: Iterable[Any],
    results: Mapping[str, Mapping[str, float] | None],
    classes: Sequence[str],
    by_class: Mapping[str, Sequence[float | None]],
    confusion: Sequence[Sequence[int]],
) -> None:
    """Summarize the best epoch; show the classes and, if they are not too many, their confusion.

    Args:
        results: metrics at the checkpoint chosen on validation (`best`) and at the last epoch.
        by_class: the accuracy of each class by checkpoint, empty if nothing was tested.
        confusion: rows by true and predicted class, at the best checkpoint if there is one.
    """
    best = {
        f"{key}/best": value
        for key, value in (results.get("best") or {}).items()
        if key == "epoch" or key.startswith("val/")  # what is tested has been logged
    }
    for logger in loggers:
        if isinstance(logger, WandbRun):
            logger.tell(lambda run: run.summary.update(best))
            if any(by_class.values()):
                logger.tell(lambda run: run.log(class_tables(classes, by_class, confusion)))


def class_tables(
    classes: Sequence[str],
    by_class: Mapping[str, Sequence[float | None]],
    confusion: Sequence[Sequence[int]],
) -> dict[str, Any]:
    """W&B's table of the classes, and its chart of a confusion matrix."""
    import wandb

    when = [each for each in ("best", "last") if by_class.get(each)]
    columns: Any = ["class", "rows", *(f"accuracy/{each}" for each in when)]
    rows = [sum(row) for row in confusion] or [None] * len(classes)
    accuracies = (by_class[each] for each in when)
    data: Any = [[*row] for row in zip(classes, rows, *accuracies, strict=True)]
    found: dict[str, Any] = {"classes": wandb.Table(columns=columns, data=data)}
    if 0 < len(confusion) <= MOST_CLASSES:
        cells: Any = [
            [actual, predicted, count]
            for actual, row in zip(classes, confusion, strict=True)
            for predicted, count in zip(classes, row, strict=True)
        ]
        fields = {name: name for name in ("Actual", "Predicted", "nPredictions")}
        found["confusion_matrix"] = wandb.plot_table(
            "wandb/confusion_matrix/v1", wandb.Table(columns=[*fields], data=cells), fields,
            {"title": f"test rows, {when[0]} checkpoint"},
        )  # fmt: skip
    return found
