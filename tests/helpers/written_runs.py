"""Run folders as a training leaves them, without training: realistic, or as odd as a test wants."""

import copy
import csv
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml


def mixing(method: str | None, **knobs: Any) -> dict[str, Any] | None:
    """A mixing node: `mixing("Mixup", alpha=0.2, probability=0.5)`; None is no mixing."""
    if method is None:
        return None
    callback = {"probability": 1.0, "gate": "row", "schedule": "constant"}
    callback |= {key: knobs.pop(key) for key in list(knobs) if key in callback}
    method_node = {"_target_": f"mixlab.mixing.methods.{method}", "alpha": 1.0, "per_row": True}
    return {
        "_target_": "mixlab.callbacks.MixingCallback",
        **callback,
        "partners": "permutation",
        "method": method_node | knobs,
    }


def config(mixing_node: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A resolved configuration; `changes` replace dotted keys: {"data.name": "cifar10"}."""
    node: dict[str, Any] = {
        "data": {
            "_target_": "mixlab.data.ImageDataModule", "name": "digits", "batch_size": 32,
            "val_size": 0.2, "num_workers": 0, "path": "/home/ada/data/digits.npz",
        },
        "model": {
            "_target_": "mixlab.models.ImageClassifier", "name": "cnn", "label_smoothing": 0.0,
            "network": {"_target_": "mixlab.models.networks.CNN", "dropout": 0.2},
        },
        "mixing": copy.deepcopy(mixing_node),
        "augmentation": None,
        "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.001},
        "scheduler": None,
        "trainer": {"_target_": "pytorch_lightning.Trainer", "max_epochs": 10, "devices": 1,
                    "precision": "32-true", "enable_progress_bar": False},
        "callbacks": {"best": {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint",
                               "monitor": "val/accuracy", "mode": "max"}},
        "paths": {"root_dir": "/home/ada", "data_dir": "/home/ada/data"},
        "task_name": "synthetic", "seed": 0, "tags": [],
    }  # fmt: skip
    for key, value in changes.items():
        _set(node, key, value)
    return node


def _set(node: dict[str, Any], key: str, value: Any) -> None:
    *above, last = key.split(".")
    for part in above:
        node = node[part]
    node[last] = value


def arm_hash(node: Mapping[str, Any]) -> str:
    kept = {key: node[key] for key in node if key not in ("seed", "task_name", "tags", "paths")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


def write_run(
    root: Path,
    node: dict[str, Any],
    seed: int,
    *,
    accuracy: float = 0.95,
    status: str = "finished",
    epochs: int = 10,
    validation: bool = True,
    error: str | None = None,
    arm: str | None = None,
    hash_: str | None = None,
    seconds_per_epoch: float = 1.1,
    **record: Any,
) -> Path:
    """Write one run folder below `root`/runs; `record` replaces keys of run.json."""
    node = {**node, "seed": seed}
    method = (
        node["mixing"]["method"]["_target_"].rsplit(".", 1)[-1].lower()
        if node["mixing"]
        else "none"
    )
    arm = arm or f"{node['data']['name']}-{node['model']['name']}-{method}"
    digest = hash_ or arm_hash(node)
    task = str(node["task_name"])
    folder = root / "runs" / task / f"{arm.replace('/', '_')}-{digest}" / f"seed-{seed}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(node, sort_keys=False))
    curves = make_curves(accuracy, epochs, seed, validation=validation)
    write_metrics(folder / "metrics.csv", curves)
    finished = status == "finished"
    best = int(np.argmax(curves["val/accuracy"])) if validation else None

    def at(epoch: int) -> dict[str, float]:
        return {name: float(values[epoch]) for name, values in curves.items()}

    test = {"test/accuracy": accuracy, "test/loss": 0.3 + (1 - accuracy)}
    last_test = {"test/accuracy": accuracy - 0.002, "test/loss": 0.35 + (1 - accuracy)}
    best_results = {"epoch": best, **at(best), **test} if best is not None else None
    everything = {
        "status": status, "task_name": task, "arm": arm, "hash": digest, "seed": seed,
        "started": "2026-11-21T10:00:00+00:00", "ended": f"2026-11-21T10:0{seed % 10}:30+00:00",
        "seconds": seconds_per_epoch * epochs, "seconds_per_epoch": seconds_per_epoch,
        "epochs": epochs, "error": error, "monitor": {"metric": "val/accuracy", "mode": "max"},
        "results": {"best": best_results,
                    "last": {"epoch": epochs - 1, **at(-1), **last_test}} if finished else None,
        "threads": 2, "accelerator": "cpu", "devices": 1,
        "hardware": {"cpu": "AMD EPYC 7B13", "cores": 2, "gpu": None},
        "versions": {"python": "3.11.9", "torch": "2.15.0", "pytorch-lightning": "2.6.6"},
        "code": {"mixlab/train.py": "aa", "mixlab/models/classifier.py": "bb"},
        "data": {"sha256": "d1" * 32, "train_rows": 1150, "val_rows": 287, "test_rows": 360,
                 "val_split": "stratified"},
        "git": "0123456789ab",
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(everything | record))
    return folder


def write_evaluations(folder: Path, entries: Mapping[str, Mapping[str, float]]) -> None:
    """An evaluation.json with figures by the name of each entry, equal at both checkpoints."""
    ended = json.loads((folder / "run.json").read_text())["ended"]
    made = {}
    for name, figures in entries.items():
        part = name.partition(" ")[0]
        results = {f"{part}/{metric}": value for metric, value in figures.items()}
        made[name] = {
            "options": {"part": part},
            "run_ended": ended,
            "data": {"sha256": "d1" * 32},
            "results": {"best": results, "last": results},
            "class_accuracy": {"classes": ["a", "b"], "best": [0.5, 1.0], "last": [0.5, 1.0]},
        }
    (folder / "evaluation.json").write_text(json.dumps(made))


def make_curves(
    accuracy: float, epochs: int, seed: int, *, validation: bool = True
) -> dict[str, np.ndarray]:
    """Learning curves that end near `accuracy`, level in their second half."""
    rng = np.random.default_rng([seed, round(accuracy * 1e6)])
    rise = np.minimum(1, 2 * np.arange(1, epochs + 1) / epochs)
    noise = rng.normal(0, 0.004, (4, epochs))
    curves = {
        "train/loss": 2.3 * (1 - rise) + 0.25 + noise[0],
        "train/accuracy": (accuracy - 0.1) * rise + noise[1],
    }
    if validation:
        curves["val/loss"] = 2.3 * (1 - rise) + 0.3 + noise[2]
        curves["val/accuracy"] = accuracy * rise + noise[3]
    return curves


def write_metrics(path: Path, curves: Mapping[str, np.ndarray]) -> None:
    """One row per logging event, as the trainer logs: training, then validation, of each epoch."""
    names = list(curves)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", "step", *names])
        writer.writeheader()
        for epoch in range(len(curves["train/loss"])):
            for stage in ("train/", "val/"):
                cells = {
                    name: float(curves[name][epoch]) for name in names if name.startswith(stage)
                }
                if cells:
                    writer.writerow({"epoch": epoch, "step": 36 * (epoch + 1) - 1, **cells})


def write_arms(
    root: Path,
    arms: Mapping[str, tuple[dict[str, Any], float]],
    seeds: Iterable[int] = range(5),
    *,
    sd: float = 0.004,
    **options: Any,
) -> list[Path]:
    """Runs of several arms: {"mixup": (configuration, mean accuracy)}, noise shared in part."""
    folders = []
    for seed in seeds:
        shared = np.random.default_rng(seed).normal(0, sd / 2)
        for i, (node, accuracy) in enumerate(arms.values()):
            own = np.random.default_rng([seed, i]).normal(0, sd)
            folders.append(
                write_run(root, node, seed, accuracy=round(accuracy + shared + own, 4), **options)
            )
    return folders


def write_sweep(root: Path, name: str, folders: Iterable[Path]) -> Path:
    """A sweep folder that lists runs, whether they exist or not."""
    sweep = root / "sweeps" / name
    sweep.mkdir(parents=True)
    runs = [os.path.relpath(folder, sweep) for folder in folders]
    (sweep / "sweep.json").write_text(json.dumps({"name": name, "runs": runs}))
    return sweep


def quickstart(root: Path, seeds: Iterable[int] = range(5), **options: Any) -> Path:
    """`none`, `mixup`, `cutmix` on digits, as the first sweep of a new user."""
    arms = {
        "none": (config(None), 0.952),
        "mixup": (config(mixing("Mixup", alpha=0.2)), 0.959),
        "cutmix": (config(mixing("CutMix")), 0.948),
    }
    return write_sweep(root, "quickstart", write_arms(root, arms, seeds, **options))
