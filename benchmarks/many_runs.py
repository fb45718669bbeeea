"""What 10,000 runs cost to look at: status, clean, compare, sync, and planning them.

    python benchmarks/many_runs.py                 100 arms at 100 seeds, then 2,000 arms at 5
    python benchmarks/many_runs.py --shape 20x10   a smaller try
    python benchmarks/many_runs.py --keep DIR      keep the folders, and use them again

Two real runs are trained. Their folders are then copied into those that a real sweep command has
planned, with the arm, the seed and the figures of each. Checkpoints and pictures are hard links.
"""

import argparse
import csv
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BOUNDS = {"plan": 30.0, "plan again": 30.0, "status": 5.0, "compare": 60.0}  # seconds
MEMORY = 2048.0  # MiB, of mixlab-compare
SHAPES = ("100x100", "2000x5")
TRAINED = ("trainer=cpu", "logger=csv", "data=digits", "trainer.max_epochs=30", "threads=1")
LINKED = ("checkpoints", "figures")
EVALUATED = 10  # every so many runs have an evaluation.json
FAILED = 50  # every so many runs have failed


def sweep_words(arms: int, seeds: int) -> list[str]:
    """The command line of a sweep: an arm without mixing, the others a grid of two knobs."""
    shares = 50 if arms >= 1000 else 1
    alphas = ",".join(f"{number / 100:g}" for number in range(1, 1 + -(-(arms - 1) // shares)))
    chances = ",".join(f"{(number + 1) / shares:g}" for number in range(shares))
    grid = f"{{none:{{}},mixup:{{method.alpha:[{alphas}],probability:[{chances}]}}}}"
    return ["-m", *TRAINED, f"arms={grid}", f"seeds={seeds}"]


def plan(words: Sequence[str], specs: Path) -> None:
    """In a process of its own: the sweep command up to its first job."""
    from mixlab import train
    from mixlab.sweeps import launch

    class Began(BaseException):
        pass

    def first_job(jobs: Any, *_: object) -> None:
        texts = {str(job.folder.parent): job.config for job in jobs}
        specs.write_text(json.dumps(texts))
        raise Began

    launch.run_all = first_job
    sys.argv = ["mixlab-train", *words]
    began = time.perf_counter()
    try:
        train.main()
    except Began:
        pass
    print(f"begun after {time.perf_counter() - began:.1f} s and the imports")


def train_two(folder: Path) -> dict[str, Path]:
    """Two real runs, by their method."""
    words = ["-m", *TRAINED, "mixing=none,mixup", "seeds=1"]
    program = Path(sys.executable).with_name("mixlab-train")
    subprocess.run([program, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    runs = list((folder / "logs" / "runs" / "train").glob("*/seed-0"))
    return {"none" if "-none-" in str(run) else "mixup": run for run in runs}


def fill(specs: Path, seeds: int, trained: dict[str, Path]) -> None:
    """Make the planned folders those of finished runs, and of a few failed ones."""
    from omegaconf import OmegaConf

    kinds = {name: Trained(folder) for name, folder in trained.items()}
    arms = json.loads(specs.read_text())
    for number, (arm, text) in enumerate(arms.items()):
        cfg = OmegaConf.create(text)
        cfg.paths.run_dir, cfg.seed = f"{arm}/seed-0", 0  # as training does
        config = OmegaConf.to_yaml(cfg, resolve=True)
        kind = kinds["none" if "-none-" in arm else "mixup"]
        for seed in range(seeds):
            rng = random.Random(f"{arm} {seed}")
            kind.copy_to(Path(arm) / f"seed-{seed}", config, number, seed, rng)


class Trained:
    """A real run folder, to be copied with other figures."""

    def __init__(self, folder: Path) -> None:
        self.record = json.loads((folder / "run.json").read_bytes())
        self.rows = list(csv.reader((folder / "metrics.csv").open(newline="")))
        self.log = (folder / "log.txt").read_bytes()
        self.linked = [path for name in LINKED for path in folder.glob(f"{name}/*")]
        self.folder = folder

    def copy_to(self, folder: Path, config: str, arm: int, seed: int, rng: random.Random) -> None:
        config = config.replace("\nseed: 0\n", f"\nseed: {seed}\n")
        (folder / "config.yaml").write_text(config.replace("/seed-0", f"/seed-{seed}"))
        (folder / "log.txt").write_bytes(self.log)
        (folder / ".lock").touch()
        better = rng.gauss(0, 0.004) + 1e-5 * (arm % 1000)
        (folder / "metrics.csv").write_text(self.curves(better, rng))
        record = self.record_of(folder, seed, better, rng)
        if (arm + seed) % FAILED == FAILED - 1:
            record |= {"status": "failed", "results": None, "error": "RuntimeError: out of memory"}
        (folder / "run.json").write_text(json.dumps(record, indent=1) + "\n")
        if (arm + seed) % EVALUATED == 0:
            (folder / "evaluation.json").write_text(json.dumps(evaluation(record)))
        for path in self.linked:
            place = folder / path.relative_to(self.folder)
            place.parent.mkdir(exist_ok=True)
            os.link(path, place)

    def record_of(
        self, folder: Path, seed: int, better: float, rng: random.Random
    ) -> dict[str, Any]:
        planned = json.loads((folder / "run.json").read_bytes())
        record = json.loads(json.dumps(self.record))
        record |= {key: planned[key] for key in ("arm", "hash", "label", "command", "seed")}
        record["seconds"] += rng.random()
        record["seconds_per_epoch"] *= 1 + rng.random() / 10
        for results in record["results"].values():
            for name in results:
                if name.endswith("accuracy"):
                    results[name] = min(1.0, results[name] + better)
        for when in ("best", "last"):
            values = record["class_accuracy"][when]
            record["class_accuracy"][when] = [
                min(1.0, value + rng.gauss(0, 0.01)) for value in values
            ]
        return record

    def curves(self, better: float, rng: random.Random) -> str:
        file = io.StringIO()
        writer = csv.writer(file)
        header, *rows = self.rows
        place = header.index("val/accuracy")
        writer.writerow(header)
        for row in rows:
            if row[place]:
                value = float(row[place]) + better + rng.gauss(0, 0.002)
                row = [*row[:place], f"{value:.6f}", *row[place + 1 :]]
            writer.writerow(row)
        return file.getvalue()


def evaluation(record: dict[str, Any]) -> dict[str, Any]:
    """As `mixlab-evaluate tta=flip` leaves it."""
    keys = ("results", "class_accuracy", "data", "metrics")
    found = {key: record.get(key) or {} for key in keys}
    return {"test tta=flip": {**found, "options": {"part": "test"}, "run_ended": record["ended"]}}


@contextmanager
def measured(name: str, figures: dict[str, tuple[float, float]]) -> Iterator[list[Any]]:
    """Run the commands that are put into the list; seconds and peak MiB of each kind."""
    commands: list[Any] = []
    yield commands
    for command, folder in commands:
        began = time.perf_counter()
        with (folder / "said.txt").open("w") as said:
            process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
            _, code, used = os.wait4(process.pid, 0)
        seconds, memory = time.perf_counter() - began, used.ru_maxrss / 1024
        busy = used.ru_utime + used.ru_stime
        lines = (folder / "said.txt").read_text(errors="replace").splitlines()
        last = lines[-1][:100] if lines else ""
        print(f"  {name:12} {seconds:6.1f} s, {busy:6.1f} s busy, {memory:5.0f} MiB: {last}")
        if os.waitstatus_to_exitcode(code) not in (0, 1):
            print("\n".join(lines[-20:]))
        figures[name] = (seconds, memory)


def shape(folder: Path, arms: int, seeds: int) -> dict[str, tuple[float, float]]:
    """Make the folders of one shape, unless they are there, and measure each command on them."""
    figures: dict[str, tuple[float, float]] = {}
    print(f"{arms} arms at {seeds} seeds")
    words, specs = sweep_words(arms, seeds), folder / "specs.json"
    planning = [sys.executable, __file__, "--plan", str(specs), *words]
    if not specs.exists():
        trained_in = folder / "trained"
        trained_in.mkdir(parents=True)
        trained = train_two(trained_in)
        with measured("plan", figures) as commands:
            commands.append((planning, folder))
        fill(specs, seeds, trained)
    logs = folder / "logs"
    entries = sum(1 + len(files) for _, _, files in os.walk(logs))
    print(f"  {entries} files and folders")
    sweep = str(Path(sys.executable).with_name("mixlab-sweep"))
    compare = str(Path(sys.executable).with_name("mixlab-compare"))
    train = str(Path(sys.executable).with_name("mixlab-train"))
    for name, command in {
        "plan again": [train, *words],
        "status": [sweep, "status", "logs"],
        "clean": [sweep, "clean", "logs"],
        "checkpoints": [sweep, "clean", "logs", "--checkpoints"],
        "sync": [sweep, "sync", "logs"],
        "compare": [compare, "logs/sweeps/train"],
        "evaluations": [compare, "logs/sweeps/train", "--evaluations", "--format", "csv"],
        "per class": [compare, "logs/runs", "--per-class", "--format", "markdown"],
    }.items():
        with measured(name, figures) as commands:
            commands.append((command, folder))
    for file in sorted((logs / "sweeps" / "train").glob("report.*")):
        print(f"  {file.name}: {file.stat().st_size / 1e6:.2f} MB")
    return figures


def main() -> int:
    if sys.argv[1:2] == ["--plan"]:
        plan(sys.argv[3:], Path(sys.argv[2]))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", nargs="+", default=SHAPES, metavar="ARMSxSEEDS")
    parser.add_argument("--keep", type=Path, help="a folder for the runs, which stay")
    args = parser.parse_args()
    over = []
    for name in args.shape:
        arms, seeds = map(int, name.split("x"))
        with tempfile.TemporaryDirectory() as temporary:
            folder = (args.keep or Path(temporary)).resolve() / name
            folder.mkdir(parents=True, exist_ok=True)
            figures = shape(folder, arms, seeds)
        over += [
            f"{name} {each}: {figures[each][0]:.1f} s, bound {bound:g} s"
            for each, bound in BOUNDS.items()
            if each in figures and figures[each][0] > bound
        ]
        if figures["compare"][1] > MEMORY:
            over.append(f"{name} compare: {figures['compare'][1]:.0f} MiB, bound {MEMORY:g} MiB")
    print("\n".join(over) or "within the bounds")
    return int(bool(over))


if __name__ == "__main__":
    sys.exit(main())
