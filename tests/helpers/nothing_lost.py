"""What "nothing lost" means, in one place."""

import csv
import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from helpers.small_runs import differences
from mixlab.runs.atomic import read_json
from mixlab.runs.locks import is_running

TERMINAL = ("finished", "failed", "diverged", "interrupted")


def nothing_lost(sweep: Path, planned: int) -> dict[Path, dict[str, Any]]:
    """The record of each run of a sweep, in its order, after asserting that

    - each planned run has exactly one record, which is final, and nobody trains it;
    - each finished run's metrics are there, readable, each row once;
    - every file with a final name can be read.
    """
    runs = [
        (sweep / run).resolve() for run in json.loads((sweep / "sweep.json").read_text())["runs"]
    ]
    assert len(set(runs)) == len(runs) == planned
    everywhere = {path.parent for run in runs for path in run.parents[1].rglob("run.json")}
    assert everywhere == set(runs), "no record but those planned"
    records = {run: read_json(run / "run.json") for run in runs}
    for run, record in records.items():
        assert record["status"] in TERMINAL and not is_running(run)
        assert record["status"] == "finished" or record["error"]
        every_file_is_readable(run)
        if record["status"] == "finished":
            assert record["results"]["last"]
            assert_rows_once(run / "metrics.csv")
    return records


def every_file_is_readable(run: Path) -> None:
    """A file that is being written has a name with a dot first; all others are whole."""
    for path in run.rglob("*"):
        if path.name.startswith("."):
            continue
        if path.suffix == ".ckpt":
            assert torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        elif path.suffix == ".json":
            assert json.loads(path.read_text())
        elif path.suffix == ".yaml":
            assert OmegaConf.load(path)


def assert_rows_once(path: Path) -> None:
    """Each epoch's validation and its training are one row each, and no epoch is left out."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    for column in ("val/loss", "train/loss"):
        epochs = [int(row["epoch"]) for row in rows if row.get(column)]
        assert epochs == list(range(len(epochs))) and epochs, f"{path}: {column} of {epochs}"


def epochs_begun(run: Path) -> list[int]:
    """The epochs that were begun, in order, through all processes that trained the run.

    Written by the callback of `commands.make_lab`.
    """
    return [int(line) for line in (run / "epochs-0.txt").read_text().split()]


def repeated(run: Path) -> int:
    """How many epochs of a run were begun more than once, each time counted."""
    begun = epochs_begun(run)
    return len(begun) - len(set(begun))


def unequal(one: Path, other: Path) -> list[str]:
    """Where two runs of one configuration differ: weights, optimizer, metrics, results."""
    found = [] if text(one) == text(other) else ["metrics.csv"]
    for name in ("last", "best"):
        pair = [
            torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True) for run in (one, other)
        ]
        for part in ("state_dict", "optimizer_states", "loops", "global_step"):
            found += differences(pair[0][part], pair[1][part], f"{name}.{part}")
    return [*found, *differences(results(one), results(other), "results")]


def text(run: Path) -> str:
    return (run / "metrics.csv").read_text()


def results(run: Path) -> dict[str, Any]:
    """Without how long it took."""
    found = read_json(run / "run.json")["results"]
    return {when: {k: v for k, v in row.items() if k != "seconds"} for when, row in found.items()}
