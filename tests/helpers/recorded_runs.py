"""Ten short runs, written down to the bit: proof that a change of the code moved no result.

    python tests/helpers/recorded_runs.py record before.json --data data
    (change the code)
    python tests/helpers/recorded_runs.py check before.json --data data

A record holds for each run the loss of every step, SHA-256 of `metrics.csv` without its times, and
SHA-256 of each tensor of its checkpoints. It holds for one processor and one set of versions.
"""

import argparse
import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

SHORT = (
    "threads=1", "logger=csv", "seed=3", "trainer.max_epochs=2", "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
)  # fmt: skip
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
FEW = ("trainer.limit_train_batches=12", "data.batch_size=32")
DIGITS = {
    "none": ("data=digits", "mixing=none", "trainer=cpu"),
    "mixup": ("data=digits", "mixing=mixup", "scheduler=cosine"),
    "cutmix": ("data=digits", "mixing=cutmix", "mixing.probability=0.5", "model=resnet20"),
    "one_of": ("data=digits", "mixing=one_of", "optimizer=sgd", "augmentation=standard"),
    "averaged": ("data=digits", "mixing=cutmix", "callbacks=[default,ema]"),
    "resumed": ("data=digits", "mixing=mixup", "model.network.dropout=0.2", "trainer.max_epochs=4"),
    "two_ranks": ("data=digits", "mixing=mixup", "trainer=ddp_sim"),
}
FILES = {
    "fashion_mixup": ("data=fashion_mnist", "mixing=mixup"),
    "fashion_cutmix": ("data=fashion_mnist", "mixing=cutmix", "augmentation=flip_crop"),
    "flowers_workers": ("data=folder", "data.path={data}/flowers5", "data.image_size=32",
                        "mixing=cutmix", "augmentation=flip_crop", "augmentation.force=true",
                        "data.num_workers=2"),
}  # fmt: skip
NEEDED = {
    "fashion_mnist.npz": "`mixlab-train data=fashion_mnist` downloads it where there is a network",
    "flowers5": "make it of three or more class folders, each with 150 or more JPEG files",
}


def written_down(words: tuple[str, ...], data: Path, interrupt: bool = False) -> dict[str, Any]:
    """Train one run in a folder of its own; `interrupt` stops it once and goes on."""
    with tempfile.TemporaryDirectory() as folder:
        given = [*SHORT, *FEW, *(word.format(data=data) for word in words)]
        places = [f"paths.log_dir={folder}", f"paths.data_dir={data}"]
        command = [str(Path(sys.executable).with_name("mixlab-train")), *given, *places]
        if interrupt:
            stop_half_way(command, Path(folder))
        before = figures(Path(folder))
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        # A run that starts again has the same losses as one that goes on, but draws again.
        if interrupt and not (before and before.items() <= figures(Path(folder)).items()):
            raise SystemExit("the run that was stopped did not go on, it started from scratch")
        return facts(next(Path(folder).glob("runs/*/*/seed-3")))


def figures(folder: Path) -> dict[Path, int]:
    """When each figure of the run was drawn, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/*/seed-3/figures/*.png")}


def stop_half_way(command: list[str], folder: Path) -> None:
    """Start the run and ask it to stop when its first epoch is over."""
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    tables = "runs/*/*/seed-3/metrics.csv"
    while not any("val/loss" in table.read_text() for table in folder.glob(tables)):
        if process.poll() is not None:
            raise SystemExit(f"{' '.join(command)}\nended in its first epoch, before the stop")
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    if process.wait() == 0:
        raise SystemExit("the run was over before it could be stopped; give it more epochs")


def facts(folder: Path) -> dict[str, Any]:
    """What is written down of a run folder."""
    with open(folder / "metrics.csv", newline="") as file:
        rows = [
            {key: value for key, value in row.items() if not key.startswith("time/")}
            for row in csv.DictReader(file)
        ]
    rows = [row for row in rows if any(row[key] for key in row if key not in ("epoch", "step"))]
    return {
        "losses": [row["train/loss_step"] for row in rows if row["train/loss_step"]],
        "metrics.csv": hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
        **{path.name: weights(path) for path in sorted(folder.glob("checkpoints/[bl]*.ckpt"))},
    }


def weights(path: Path) -> dict[str, str]:
    """SHA-256 of each tensor of a checkpoint's model, by name."""
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return {
        name: hashlib.sha256(x.contiguous().numpy().tobytes()).hexdigest()
        for name, x in state.items()
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """One line for each step, tensor or hash that is not the same, or that only one record has."""
    old, new = flat(before), flat(now)
    return [
        f"{place}: {old.get(place, 'absent')} before, {new.get(place, 'absent')} now"
        for place in {**old, **new}
        if old.get(place) != new.get(place)
    ]


def flat(record: Any, place: str = "") -> dict[str, str]:
    """Every value by its place, as in `none losses 3`."""
    if isinstance(record, str):
        return {place.strip(): record}
    pairs = enumerate(record) if isinstance(record, list) else record.items()
    return {where: x for key, part in pairs for where, x in flat(part, f"{place} {key}").items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Record ten short runs, or check them.")
    parser.add_argument("what", choices=["record", "check"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--digits", action="store_true", help="leave out the runs that need files")
    args = parser.parse_args()
    data = args.data.resolve()
    lacks = [f"{data / name} is missing: {how}" for name, how in NEEDED.items()
             if not (data / name).exists()]  # fmt: skip
    if lacks and not args.digits:
        raise SystemExit("\n".join([*lacks, "or leave those runs out with --digits"]))
    before = json.loads(args.file.read_text()) if args.what == "check" else {}
    found = {}
    for name, words in {**DIGITS, **({} if args.digits else FILES)}.items():
        found[name] = written_down(words, data, interrupt=name == "resumed")
        print(f"{name}: {len(found[name]['losses'])} steps", flush=True)
    if args.what == "record":
        args.file.write_text(json.dumps(found, indent=1) + "\n")
        return
    if args.digits:
        before = {name: run for name, run in before.items() if name not in FILES}
    lines = differences(before, found)
    print("\n".join(lines) or "equal to the bit")
    raise SystemExit(1 if lines else 0)


if __name__ == "__main__":
    main()
