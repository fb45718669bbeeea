"""What one GPU shows in at most eight minutes: correctness, speed, and two recipes.

    python benchmarks/gpu.py --output gpu.json
    python benchmarks/gpu.py --device cpu --quick       the same code in tiny sizes, without a GPU

1. correctness: `pytest -m gpu`.
2. mixing: microseconds of drawing and applying against one copy of the batch, at (128, 3, 32, 32)
   and (64, 3, 224, 224), with timm's and torchvision's mixers beside it, and the peak memory.
3. steps: steps a second of three recipes, and of a bare PyTorch loop that trains the same network
   with mixup on data that lie on the device.
4. recipes: `cutmix_cifar10` and `mixup_cifar10` with and without mixing, in full or as far as
   the time goes; how many epochs were trained is said.

Each part has a share of the time and is cut when that is over. Data are those in data/, else random
pixels of the same size, which is said: they tell the speed, not the accuracy.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from timm.data.mixup import Mixup as TimmMixup
from torch import Tensor
from torchvision.transforms import v2

from mixlab.callbacks.run_record import RunRecord
from mixlab.config.keys import absolute_paths, config_dir
from mixlab.mixing import Address, CutMix, Mixup, OneOf, Policy, Sequence
from mixlab.runtime import quiet, set_threads
from mixlab.training.build import build_data, build_model, build_trainer

ROOT = Path(__file__).resolve().parents[1]
SHARES = {"correctness": 0.25, "mixing": 0.08, "steps": 0.2, "recipes": 0.47}  # of the time
SHAPES = {"cifar10": ((32, 32, 3), 50_000), "fashion_mnist": ((28, 28), 60_000)}
RECIPES = ("cutmix_cifar10", "mixup_cifar10")
ARMS = {  # experiment: its arm with mixing
    "mixup_fashion_mnist": "mixup",
    "cutmix_cifar10": "cutmix_cifar10",
    "mixup_cifar10": "mixup",
}
CLASSES = 10


@dataclass
class Options:
    """Where, how large, and until when the current part may take."""

    device: torch.device
    quick: bool
    folder: Path
    data: Path
    until: float = 0.0

    @property
    def accelerator(self) -> str:
        return "gpu" if self.device.type == "cuda" else "cpu"

    @property
    def left(self) -> float:
        """Seconds of the current part."""
        return max(0.0, self.until - time.monotonic())


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def environment(options: Options) -> dict[str, Any]:
    """The device, the driver and the versions."""
    found: dict[str, Any] = {
        "device": options.device.type,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "lightning": version("pytorch-lightning"),
        "cores": os.cpu_count(),
    }
    if options.device.type == "cuda":
        query = [
            "nvidia-smi",
            "--query-gpu=name,driver_version,memory.total",
            "--format=csv,noheader",
        ]
        said = subprocess.run(query, capture_output=True, text=True, check=False).stdout
        found |= {"gpu": torch.cuda.get_device_name(), "nvidia_smi": said.strip()}
    return found


def correctness(options: Options) -> dict[str, Any]:
    """How many tests of a GPU passed, failed and were skipped."""
    marker = "gpu" if not options.quick else "not slow and not gpu and not faults"
    words = [sys.executable, "-m", "pytest", "-m", marker, "tests/gpu/test_device.py"]
    try:
        done = subprocess.run(
            words, cwd=ROOT, capture_output=True, text=True, timeout=options.left, check=False
        )
    except subprocess.TimeoutExpired as cut:
        return {"cut_after_seconds": cut.timeout}
    counts = {
        word: int(count) for count, word in re.findall(r"(\d+) (\w+)", last_line(done.stdout))
    }
    failures = re.findall(r"^FAILED (.*)$", done.stdout, re.M)
    return {"exit_status": done.returncode, "failures": failures, **counts}


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1].partition(" in ")[0] if text.strip() else ""


def mixing(options: Options) -> dict[str, Any]:
    """Microseconds of each way, its ratio to a copy, and the peak memory, by the batch's shape."""
    shapes = [(16, 3, 8, 8)] if options.quick else [(128, 3, 32, 32), (64, 3, 224, 224)]
    found = {}
    for shape in shapes:
        images = torch.rand(shape, device=options.device)
        labels = torch.arange(len(images), device=options.device) % CLASSES
        ways = mixers(images, labels)
        times = {name: seconds_of(way, options) for name, way in ways.items()}
        copy = times["copy"][0]
        found["x".join(map(str, shape))] = {
            name: {"us": round(1e6 * seconds, 1), "copies": round(seconds / copy, 2), **more}
            for name, (seconds, more) in times.items()
        }
    return found


def mixers(images: Tensor, labels: Tensor) -> dict[str, Callable[[], Any]]:
    """A copy of the batch, our methods as a callback uses them, timm's and torchvision's."""
    targets = F.one_hot(labels, CLASSES).float()
    both = OneOf([Mixup(0.2), CutMix(1.0)])
    methods = {
        "mixup": Mixup(0.2), "cutmix": CutMix(1.0), "one_of": both,
        "sequence": Sequence([CutMix(1.0), Mixup(0.2)]),
    }  # fmt: skip
    ways: dict[str, Callable[[], Any]] = {"copy": lambda: (images.clone(), targets.clone())}
    for name, method in methods.items():

        def ours(method: Any = method) -> Any:
            return Policy().draw(method, images, targets, Address(0)).mix(images, targets)

        ways[name] = ours
    for mode in ("batch", "elem"):
        timm = TimmMixup(0.2, 1.0, mode=mode, num_classes=CLASSES, label_smoothing=0.0)
        ways[f"timm {mode}"] = lambda timm=timm: timm(images.clone(), labels)
    for name, transform in (("mixup", v2.MixUp), ("cutmix", v2.CutMix)):
        theirs = transform(alpha=1.0, num_classes=CLASSES)
        ways[f"torchvision {name}"] = lambda theirs=theirs: theirs(images, labels)
    return ways


def seconds_of(way: Callable[[], Any], options: Options) -> tuple[float, dict[str, Any]]:
    """The median of several calls, with what it leaves on the GPU done, and the peak memory."""
    device, repeats = options.device, 3 if options.quick else 50
    for _ in range(2 if options.quick else 10):
        way()
    wait(device)
    if device.type != "cuda":
        times = []
        for _ in range(repeats):
            begin = time.perf_counter()
            way()
            times.append(time.perf_counter() - begin)
        return statistics.median(times), {}
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    events[0].record()  # pyright: ignore
    for event in events[1:]:
        way()
        event.record()  # pyright: ignore
    wait(device)
    spans = [one.elapsed_time(two) / 1e3 for one, two in zip(events, events[1:], strict=False)]
    peak = torch.cuda.max_memory_allocated() - before
    return statistics.median(spans), {"peak_mib": round(peak / 2**20, 1)}


def steps(options: Options) -> dict[str, Any]:
    """Steps a second of each recipe and of the bare loop."""
    found = {}
    for name, arm in ARMS.items():
        if options.left < 5 and found:
            found[name] = "no time left"
            continue
        if options.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        cfg = recipe(name, arm, options)
        data = build_data(cfg)
        ours = recipe_speed(cfg, data, options)
        bare = bare_speed(cfg, data, options)
        found[name] = {
            "steps_per_second": round(ours, 1),
            "bare_loop": round(bare, 1),
            "time_ratio": round(bare / ours, 3),
            "batch_size": data.batch_size,
        }
        if options.device.type == "cuda":
            found[name]["peak_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return found


def recipe(name: str, arm: str, options: Options) -> DictConfig:
    """The configuration of a recipe that trains one short epoch and keeps nothing."""
    words = [f"experiment={name}", f"mixing={arm}", *data_words(name, options), "logger=none",
        f"trainer.accelerator={options.accelerator}", "callbacks=none", "trainer.max_epochs=1",
        "data.val_size=0", "trainer.enable_progress_bar=false", "threads=1",
        f"trainer.limit_train_batches={sum(counts(options))}",
        "+trainer.kwargs.enable_checkpointing=false"]  # fmt: skip
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", words)
    absolute_paths(cfg, options.folder)
    cfg.paths.run_dir = str(options.folder)
    return cfg


def counts(options: Options) -> tuple[int, int]:
    """Steps to warm up, and steps that are timed."""
    return (1, 2) if options.quick else (30, 200)


def data_words(name: str, options: Options) -> list[str]:
    """Overrides that name the data: real if there are any, else random pixels."""
    data = "fashion_mnist" if "fashion" in name else "cifar10"
    real = options.data / f"{data}.npz"
    if real.is_file() and not options.quick:
        return [f"paths.data_dir={options.data}"]
    path = options.folder / f"{data}.npz"
    if not path.is_file():
        write_noise(path, data, options)
    return ["data=npz", f"data.path={path}"]


def write_noise(path: Path, data: str, options: Options) -> None:
    shape, rows = SHAPES[data]
    rows = 700 if options.quick else rows
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", rows), ("test", max(100, rows // 6))):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(count) % CLASSES
    np.savez(path, **arrays)


class Span(pl.Callback):
    """Seconds from the end of one step to the end of another, both done on the device."""

    def __init__(self, device: torch.device, first: int, last: int) -> None:
        self.device, self.first, self.last = device, first, last
        self.steps, self.began, self.seconds = 0, 0.0, 0.0

    def on_train_batch_end(self, *args: Any) -> None:
        self.steps += 1
        if self.steps in (self.first, self.last):
            wait(self.device)
            self.seconds = time.perf_counter() - self.began
            self.began = time.perf_counter()


def recipe_speed(cfg: DictConfig, data: Any, options: Options) -> float:
    warm_up, timed = counts(options)
    span = Span(options.device, warm_up, warm_up + timed)
    trainer = build_trainer(cfg, data, RunRecord())
    trainer.callbacks.append(span)  # pyright: ignore
    trainer.fit(build_model(cfg, data), data)
    return timed / span.seconds


def bare_speed(cfg: DictConfig, data: Any, options: Options) -> float:
    """The same network, loss and optimizer on resident data with mixup: the least there can be."""
    warm_up, timed = counts(options)
    span = Span(options.device, warm_up, warm_up + timed)
    model = build_model(cfg, data).to(options.device).train()
    made = model.configure_optimizers()
    optimizer = made["optimizer"] if isinstance(made, dict) else made
    pieces = [(batch.images, batch.targets) for batch in data.train_dataloader()]
    images, labels = (torch.cat(each).to(options.device) for each in zip(*pieces, strict=True))
    rng = np.random.default_rng(0)
    for _ in range(warm_up + timed):
        rows = torch.randint(len(images), (data.batch_size,), device=options.device)
        x = images.index_select(0, rows).float().div_(255)
        y = F.one_hot(labels.index_select(0, rows), CLASSES).float()
        own = torch.from_numpy(rng.beta(0.2, 0.2, len(rows)).astype(np.float32))
        own = own.to(options.device, non_blocking=True)
        partner = torch.randperm(len(rows), device=options.device)
        x = torch.lerp(x.index_select(0, partner), x, own.view(-1, 1, 1, 1))
        y = torch.lerp(y.index_select(0, partner), y, own.view(-1, 1))
        optimizer.zero_grad()
        model.loss(model(x), y, 0.0).backward()
        optimizer.step()
        span.on_train_batch_end()
    return timed / span.seconds


def recipes(options: Options) -> dict[str, Any]:
    """Epochs trained, accuracy and seconds an epoch of both arms of two recipes."""
    found, arms = {}, [(name, arm) for name in RECIPES for arm in ("none", ARMS[name])]
    for number, (name, arm) in enumerate(arms):
        seconds = options.left / (len(arms) - number)
        found[f"{name}, {arm}"] = trained(name, arm, seconds, options)
    return found


def trained(name: str, arm: str, seconds: float, options: Options) -> dict[str, Any]:
    """One run by `mixlab-train`; Lightning ends its training when most of its time is over."""
    folder = options.folder / "runs" / name / arm
    limit = time.strftime("00:%H:%M:%S", time.gmtime(max(2, 0.7 * seconds - 8)))
    words = [f"experiment={name}", f"mixing={arm}", *data_words(name, options), "logger=csv",
        f"trainer.accelerator={options.accelerator}", f"paths.log_dir={folder}", "threads=1",
        f"+trainer.kwargs.max_time='{limit}'"]  # fmt: skip
    if options.quick:
        words += ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "data.val_size=0.2",
            "trainer.limit_test_batches=1"]  # fmt: skip
    command = [sys.executable, "-m", "mixlab.train", *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=max(10, seconds), check=False
        )
    except subprocess.TimeoutExpired:
        return {"cut_after_seconds": round(seconds)}
    paths = list(folder.rglob("run.json"))
    if done.returncode or not paths:
        return {"error": (done.stderr or done.stdout).strip()[-500:]}
    record = json.loads(paths[0].read_text())
    return {
        "epochs": record["epochs"],
        "of": OmegaConf.load(paths[0].with_name("config.yaml")).trainer.max_epochs,
        "test_accuracy": record["results"]["last"].get("test/accuracy"),
        "seconds_per_epoch": record["seconds_per_epoch"],
        "data": "random pixels" if "data=npz" in words else "real",
    }


PARTS: dict[str, Callable[[Options], dict[str, Any]]] = {
    "correctness": correctness,
    "mixing": mixing,
    "steps": steps,
    "recipes": recipes,
}


def measured(options: Options, minutes: float, only: str) -> dict[str, Any]:
    """Every part, each within its share; what one leaves over is for the next."""
    begin, share = time.monotonic(), 0.0
    report: dict[str, Any] = {"environment": environment(options)}
    for name, part in PARTS.items():
        share += SHARES[name]
        options.until = begin + 60 * minutes * share
        if only and only != name:
            continue
        try:
            report[name] = part(options)
        except Exception as error:  # the other parts are still worth having
            report[name] = {"error": f"{type(error).__name__}: {error}"}
        print(table(name, report[name]), flush=True)
    report["seconds"] = round(time.monotonic() - begin, 1)
    return report


def table(name: str, figures: dict[str, Any]) -> str:
    """A part's figures, a line each."""
    lines = [f"{name}:"]
    for key, value in figures.items():
        if isinstance(value, dict) and any(isinstance(each, dict) for each in value.values()):
            lines += [f"  {key}", *(f"    {what:22}{flat(each)}" for what, each in value.items())]
        else:
            lines.append(f"  {key:30}{flat(value)}")
    return "\n".join(lines)


def flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return str(value)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether the code runs")
    parser.add_argument("--minutes", type=float, default=8.0, help="of all parts together")
    parser.add_argument("--only", default="", choices=("", *PARTS), help="one part")
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--output", type=Path, help="write the figures there, as JSON")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("there is no GPU here; `--device cpu --quick` tries the code", file=sys.stderr)
        return 2
    quiet()
    set_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        device = torch.device(given.device)
        options = Options(device, given.quick, Path(folder), given.data.resolve())
        report = measured(options, given.minutes, given.only)
    print(table("environment", report["environment"]))
    if given.output:
        given.output.write_text(json.dumps(report, indent=1) + "\n")
    failed = any("error" in str(part) for part in report.values())
    return int(failed or bool(report.get("correctness", {}).get("exit_status")))


if __name__ == "__main__":
    sys.exit(main())
