"""Data in shards: is memory flat, and are they as fast as timm's and torchvision's loaders?

    python benchmarks/streaming.py                              100,000 images, 2 workers
    python benchmarks/streaming.py --images 5000 --rounds 2     a short try

Makes JPEG files of 64 to 96 pixels a side of CIFAR-10's pictures, in class folders, and shards of
them, in a temporary folder that is removed afterward. First the memory of this process and of the
workers is read while two epochs are loaded from the shards. Then all loaders read as many images in
turn, each with the same workers, batches and steps: decode, a random part of 8 to 100 % of the
area resized to 64 pixels, mirrored by half, normalized to float in this process. Seconds count from
the first batch on. Exit status 1 where shards are slower than timm's loader, or memory grows.
"""

import argparse
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from mixlab.data import FlipCrop, ImageDataModule, Shards
from mixlab.data.make_shards import MB, listed_images, make
from mixlab.runtime import quiet

SIDE = 64
SCALE = {"mean": (0.49, 0.48, 0.45), "std": (0.25, 0.24, 0.26)}
GROWTH = 1.05  # of memory from the first to the second epoch
Loaded = Generator[Tensor]  # float (B, 3, 64, 64), normalized


def write_images(source: Path, root: Path, count: int) -> int:
    """JPEG files in class folders, no two alike; their bytes."""
    with np.load(source) as arrays:
        pictures, labels = arrays["train_images"], arrays["train_labels"].reshape(-1)
    rng, total = np.random.default_rng(0), 0
    for label in range(10):
        (root / f"class{label}").mkdir(parents=True)
    for number in range(count):
        row = number % len(pictures)
        side = int(rng.integers(SIDE, 97))
        left, top = rng.integers(0, 97 - side, 2).tolist()
        large = Image.fromarray(pictures[row]).resize((96, 96), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        large.crop((left, top, left + side, top + side)).save(file, "JPEG", quality=88)
        total += file.tell()
        (root / f"class{labels[row]}" / f"{number:06d}.jpg").write_bytes(file.getbuffer())
    return total


def module(shards: Path, options: argparse.Namespace) -> ImageDataModule:
    return ImageDataModule(
        Shards(str(shards), image_size=SIDE, crop="imagenet", shuffle_shards=options.window),
        image_size=SIDE,
        batch_size=options.batch_size,
        val_size=0,
        num_workers=options.workers,
        augmentation=FlipCrop(True, 0, force=True),
        normalize=SCALE,
    )


def ours(data: ImageDataModule) -> Loaded:
    """The training batches as a model gets them."""
    try:
        for batch in data.train_dataloader():
            yield data.on_after_batch_transfer(batch, 0).images
    finally:
        data.teardown("fit")


def timms(root: Path, options: argparse.Namespace) -> Loaded:
    from timm.data import create_dataset, create_loader

    loader = create_loader(
        create_dataset("", str(root)),
        (3, SIDE, SIDE),
        options.batch_size,
        is_training=True,
        color_jitter=0.0,
        **SCALE,
        num_workers=options.workers,
        persistent_workers=False,
        device=torch.device("cpu"),
    )
    for images, _ in loader:
        yield images


def torchvisions(root: Path, options: argparse.Namespace) -> Loaded:
    steps = [v2.RandomResizedCrop(SIDE), v2.RandomHorizontalFlip(), v2.PILToTensor()]
    loader = DataLoader(
        ImageFolder(root, v2.Compose(steps)),
        options.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=options.workers,
    )
    normalize = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(**SCALE)])
    for images, _ in loader:
        yield normalize(images)


def seconds(loaded: Loaded, batches: int) -> float:
    """From the first batch to the last of so many."""
    next(loaded)
    start = time.perf_counter()
    for _ in islice(loaded, batches):
        pass
    taken = time.perf_counter() - start
    loaded.close()
    return taken


def memory() -> dict[str, float]:
    """MB of this process and of all its children: resident, and the part that is no file's."""
    found = dict.fromkeys(("VmRSS", "RssAnon"), 0.0)
    for pid in [os.getpid(), *children()]:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key in found:
                found[key] += int(value.split()[0]) / 1024
    return found


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def two_epochs(data: ImageDataModule) -> list[tuple[int, dict[str, float]]]:
    """Epoch and memory, ten times in each of two epochs."""
    loader, found = data.train_dataloader(), []
    for epoch in (0, 1):
        loader.set_epoch(epoch)
        for number, batch in enumerate(loader):
            data.on_after_batch_transfer(batch, 0)
            if number % max(1, len(loader) // 10) == len(loader) // 20:
                found.append((epoch, memory()))
    data.teardown("fit")
    return found


def report_memory(data: ImageDataModule) -> bool:
    """Print the memory of two epochs; whether it grew."""
    found = two_epochs(data)
    means = {}
    for key in ("VmRSS", "RssAnon"):
        for epoch in (0, 1):
            values = [memory[key] for at, memory in found if at == epoch]
            means[key, epoch] = statistics.mean(values)
            print(f"{key}, epoch {epoch}, MB: {' '.join(f'{value:.0f}' for value in values)}")
    return any(means[key, 1] > GROWTH * means[key, 0] for key in ("VmRSS", "RssAnon"))


def report_speed(ways: dict[str, Callable[[], Loaded]], options: argparse.Namespace) -> bool:
    """Print images per second of each way; whether the first is slower than the second."""
    batches = options.timed // options.batch_size
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            found[name].append(seconds(way(), batches))
    first, second, *_ = ways
    for name, times in found.items():
        speeds = [batches * options.batch_size / each for each in times]
        ratios = [one / other for one, other in zip(times, found[first], strict=True)]
        print(
            f"{name}: {statistics.median(speeds):,.0f} images/s "
            f"({min(speeds):,.0f} to {max(speeds):,.0f}); "
            f"{first} are {statistics.median(ratios):.2f} times as fast"
        )
    return statistics.median(found[first]) > statistics.median(found[second])


def options_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cifar10", type=Path, default=Path("data/cifar10.npz"))
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--timed", type=int, default=12_800, help="images of each timed run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shard-mb", type=float, default=16)
    parser.add_argument("--window", type=int, help="data.shuffle_shards")
    return parser.parse_args()


def main() -> int:
    options = options_of()
    quiet()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root, shards = Path(folder) / "images", Path(folder) / "shards"
        start = time.perf_counter()
        size = write_images(options.cifar10, root, options.images)
        written = time.perf_counter()
        make(listed_images(str(root)), shards, round(options.shard_mb * MB))
        made = time.perf_counter()
        count = len(list(shards.glob("*.array_record")))
        print(
            f"{options.images:,} JPEG files of {SIDE} to 96 px, {size / MB:,.0f} MB, in "
            f"{written - start:.0f} s; {count} shards of them in {made - written:.0f} s",
            flush=True,
        )
        grew = report_memory(module(shards, options))
        ways = {
            "shards": lambda: ours(module(shards, options)),
            "timm": lambda: timms(root, options),
            "torchvision": lambda: torchvisions(root, options),
        }
        slower = report_speed(ways, options)
    return int(grew or slower)


if __name__ == "__main__":
    sys.exit(main())
