"""What W&B's run has beside metrics, read back from the file of an offline run."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.small_runs import small
from helpers.wandb_file import logged, noted, records
from mixlab.loggers.dashboard import MOST_CLASSES, class_tables
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json
from mixlab.training.supervise import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs whose learning rate falls, logged offline."""
    words = (
        "scheduler=step",
        "scheduler.milestones=[1]",
        "scheduler.gamma=0.5",
        "optimizer.lr=0.01",
    )
    cfg = small(tmp_path_factory.mktemp("wandb"), *words, logger="default")
    train(cfg)
    return run_folder(cfg)


def test_each_epoch_has_its_learning_rate_and_pace(folder: Path) -> None:
    rows = [row for row in logged(folder) if "lr" in row]
    assert [(row["epoch"], row["lr"]) for row in rows] == [(0, 0.01), (1, 0.005)]
    assert [row["trainer/global_step"] for row in rows] == [3, 7], "as the epoch's own metrics"
    for row in rows:
        training = 4 * 64 / row["images_per_second"]
        assert 0 < training < row["seconds_per_epoch"], "without validation"
    assert "lr" not in (folder / "metrics.csv").read_text().splitlines()[0].split(",")


def test_the_summary_has_the_best_epoch(folder: Path) -> None:
    best = read_json(folder / "run.json")["results"]["best"]
    summary = noted(folder, "summary")
    for key in ("val/accuracy", "val/loss", "test/accuracy", "epoch"):
        assert summary[f"{key}/best"] == best[key]


def test_the_configuration_says_what_made_the_run(folder: Path) -> None:
    record, told = read_json(folder / "run.json"), noted(folder, "config")["facts"]
    assert told["versions"] == record["versions"] and told["threads"] == 1
    assert told["data"] == {
        key: record["data"][key] for key in ("sha256", "train_rows", "val_rows", "test_rows")
    }
    assert told["parameters"] == told["trained_parameters"] == 18762
    assert len(told["code_sha256"]) == 64


def test_no_path_of_this_machine_is_in_the_configuration(folder: Path) -> None:
    told = noted(folder, "config")
    assert told["callbacks"]["best"]["dirpath"] == str(
        (folder / "checkpoints").relative_to(folder.parents[4])
    )
    words = [word for word in strings(told) if os.path.isabs(word)]
    assert not words and str(folder.parents[4]) not in json.dumps(told)
    recorded = yaml.safe_load((folder / "config.yaml").read_text())
    assert recorded["callbacks"]["best"]["dirpath"] == str(folder / "checkpoints"), "as ever here"
    [run] = [each.run for each in records(folder) if each.WhichOneof("record_type") == "run"]
    assert not run.host


def strings(node: Any) -> list[str]:
    if isinstance(node, dict | list):
        parts = node.values() if isinstance(node, dict) else node
        return [word for part in parts for word in strings(part)]
    return [node] if isinstance(node, str) else []


def test_classes_and_their_confusion_are_tables(folder: Path) -> None:
    record = read_json(folder / "run.json")
    files = folder.glob("wandb/offline-run-*/files/media/table/*.json")
    tables = {path.name.partition("_")[0]: json.loads(path.read_text()) for path in files}
    names, accuracy = record["class_accuracy"]["classes"], record["class_accuracy"]["best"]
    classes = tables["classes"]
    assert classes["columns"] == ["class", "rows", "accuracy/best", "accuracy/last"]
    assert [row[0] for row in classes["data"]] == names
    assert [row[2] for row in classes["data"]] == accuracy
    assert sum(row[1] for row in classes["data"]) == record["data"]["test_rows"]
    cells = tables["confusion"]["data"]
    right = [count for actual, predicted, count in cells if actual == predicted]
    rows = [row[1] for row in classes["data"]]
    assert right == [round(part * whole) for part, whole in zip(accuracy, rows, strict=True)]


def test_many_classes_have_no_matrix_and_a_users_model_no_rows() -> None:
    few, many = ["a", "b"], [str(number) for number in range(MOST_CLASSES + 1)]
    assert [*class_tables(few, {"last": [1.0, None]}, ())] == ["classes"]
    assert class_tables(few, {"last": [1.0, None]}, ())["classes"].data == [
        ["a", None, 1.0], ["b", None, None],
    ]  # fmt: skip
    matrix = [[int(i == j) for j in range(len(many))] for i in range(len(many))]
    assert [*class_tables(many, {"best": [1.0] * len(many)}, matrix)] == ["classes"]
