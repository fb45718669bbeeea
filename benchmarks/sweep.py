"""What a sweep costs beyond its runs, in ratios; exit status 1 where one is above its bound.

    python benchmarks/sweep.py                                  all four, half an hour on 2 cores
    python benchmarks/sweep.py overhead share                   some of them
    python benchmarks/sweep.py packing kills --jobs 6 --seconds 3

`overhead`: seconds of one job of a sweep beyond those of the same training in a process that has
imported everything. `packing`: a sweep's time, start-up included, against the sum of its runs over
the cores. `share`: of a one-minute run, what that overhead, checkpoints and records take.
`kills`: a sweep whose processes are killed 20 times, against the same sweep left alone.
All on scikit-learn's digits with one thread a run; nothing else may run on the machine.
"""

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl
from omegaconf import DictConfig

from mixlab.runs import Run, run_folder
from mixlab.runs.atomic import read_json
from mixlab.runtime import available_cores
from mixlab.sweeps.launch import launch
from mixlab.sweeps.progress import Progress
from mixlab.sweeps.worker import JobSpec
from mixlab.training.supervise import train

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.commands import RETRY, WORDS, make_lab
from helpers.random_kills import Storm, runs_of
from helpers.small_runs import composed

BOUNDS = {"overhead": 0.5, "packing": 1.15, "share": 0.02, "kills": 1.5}
DIGITS = ("trainer=cpu", "threads=1", "data.image_size=16", "logger=csv")


def digits(folder: Path, seed: int, *words: str) -> DictConfig:
    """A run on digits whose logs lie in `folder`."""
    cfg = composed(*DIGITS, *words).copy()
    cfg.seed, cfg.paths.root_dir, cfg.paths.log_dir = seed, str(folder), str(folder / "logs")
    return cfg


def seconds_of(action: Callable[[], Any]) -> float:
    began = time.perf_counter()
    with redirect_stdout(StringIO()):
        action()
    return time.perf_counter() - began


def overhead(folder: Path, jobs: int = 15) -> float:
    """Seconds of a job beyond its own work: medians of trainings of one epoch, one at a time."""
    configs = [digits(folder / "swept", seed, "trainer.max_epochs=1") for seed in range(jobs)]
    ends: list[float] = []

    def noted(self: Progress, ticket: JobSpec, exit_code: int, stopped: bool = False) -> None:
        assert exit_code == 0, ticket
        ends.append(time.perf_counter())

    with patch.object(Progress, "done", noted):
        seconds_of(lambda: launch(configs, jobs=1, jobs_per_device=1))
    swept = statistics.median(b - a for a, b in zip(ends, ends[1:], strict=False))
    alone = []
    for seed in range(jobs):
        cfg = digits(folder / "alone", seed, "trainer.max_epochs=1")
        alone.append(seconds_of(lambda cfg=cfg: train(cfg)))
    own = statistics.median(alone[1:])
    print(f"  a job {swept:.2f} s, its training alone {own:.2f} s")
    return swept - own


def epochs_in(folder: Path, seconds: float) -> int:
    """How many epochs of digits take so long where every core does the same."""
    cores = available_cores()
    configs = [digits(folder / "pace", seed, "trainer.max_epochs=60") for seed in range(cores)]
    seconds_of(lambda: launch(configs, jobs=cores, jobs_per_device=1))
    paces = [read_json(run_folder(cfg) / "run.json")["seconds_per_epoch"] for cfg in configs]
    return max(1, round(seconds / statistics.median(paces)))


def packing(folder: Path, jobs: int, epochs: int) -> float:
    """A sweep's time over the sum of its runs' by the number of cores."""
    words = ["-m", *DIGITS, f"trainer.max_epochs={epochs}", f"seeds={jobs}"]
    command = [sys.executable, "-m", "mixlab.train", *words]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    wall = time.perf_counter() - began
    runs = [
        read_json(path / "run.json")["seconds"] for path in runs_of(folder / "logs/sweeps/train")
    ]
    assert len(runs) == jobs
    print(f"  {jobs} runs of {statistics.mean(runs):.1f} s in {wall:.0f} s")
    return wall / (sum(runs) / available_cores())


@contextmanager
def timed(*places: tuple[type, str]) -> Iterator[list[float]]:
    """Seconds of each call of some methods; a call within a call counts once."""
    spent: list[float] = []
    inside = [False]

    def clocked(method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if inside[0]:
                return method(*args, **kwargs)
            inside[0], began = True, time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                inside[0] = False
                spent.append(time.perf_counter() - began)

        return call

    patches = [patch.object(owner, name, clocked(getattr(owner, name))) for owner, name in places]
    for each in patches:
        each.start()
    try:
        yield spent
    finally:
        for each in patches:
            each.stop()


def share(folder: Path, epochs: int, a_job: float) -> float:
    """The part of a run that a job's overhead, its checkpoints and its records take."""
    cfg = digits(folder / "share", 0, f"trainer.max_epochs={epochs}")
    with timed((pl.Trainer, "save_checkpoint"), (Run, "write")) as spent:
        seconds = seconds_of(lambda: train(cfg))
    print(
        f"  {sum(spent):.2f} s in {len(spent)} checkpoints and records of a run of {seconds:.0f} s"
    )
    return (a_job + sum(spent)) / (a_job + seconds)


def kills(folder: Path, jobs: int, epochs: int) -> float:
    """A killed sweep's time, with all its beginnings, over that of one left alone."""
    words = (*WORDS, "-m", *DIGITS, "trainer.limit_train_batches=1.0", f"seeds={jobs}")
    words = (*words, f"trainer.max_epochs={epochs}")
    for name in ("whole", "killed"):
        (folder / name).mkdir()
        make_lab(folder / name)
    whole = Storm(0, launchers=0, pause=0, rng=random.Random(0)).rage(folder / "whole", *words)
    storm = Storm(20, launchers=3, pause=whole / 30, rng=random.Random(0))
    killed = storm.rage(folder / "killed", *words, *RETRY)
    print(f"  {storm.hit} kills, {storm.commands} commands, {killed:.0f} s; alone {whole:.0f} s")
    return killed / whole


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[*BOUNDS, []], help="by default all")
    parser.add_argument(
        "--jobs", type=int, default=24, help="half as many, twice as long, for kills"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--minute", type=float, default=60.0, help="of the run of share")
    args = parser.parse_args()
    what = args.what or list(BOUNDS)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if {"overhead", "share"} & {*what}:
            found["overhead"] = overhead(folder)
        epochs = epochs_in(folder, args.seconds) if {"packing", "kills"} & {*what} else 0
        if "packing" in what:
            (folder / "packing").mkdir()
            found["packing"] = packing(folder / "packing", args.jobs, epochs)
        if "share" in what:
            found["share"] = share(folder, epochs_in(folder, args.minute), found["overhead"])
        if "kills" in what:
            found["kills"] = kills(folder, args.jobs // 2, 2 * epochs)
    for each, value in found.items():
        unit = " s" if each == "overhead" else ""
        print(f"{each:10} {value:6.3f}{unit}  bound {BOUNDS[each]}{unit}")
    return int(any(value > BOUNDS[each] for each, value in found.items()))


if __name__ == "__main__":
    sys.exit(main())
