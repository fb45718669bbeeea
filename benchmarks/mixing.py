"""What mixing costs beside timm's `elem` mode and torchvision's v2 transforms.

    python benchmarks/mixing.py            one CPU thread, (128, 3, 32, 32) float32, 10 classes

Drawing and applying, images and one-hot targets, as a callback does it: the generator made from the
batch's address, the gate, the partners, the method. The last two columns leave the callback's part
away and let one generator live on, as theirs does. Twenty calls of each by turns in one process;
the lower quartile of all in microseconds, and ratios ours / theirs. Exit status 1 where a bound is
missed.

    python benchmarks/mixing.py --copies   one CPU thread, (64, 3, 224, 224)

Every file of `configs/mixing/`, against a copy of the batch: one call of each by turns, medians of
processor time, as a wait for a busy processor would fall upon the longer calls. A method that looks
at the network is given its maps; `benchmarks/guided_mixing.py` measures the look. The copy is made
in new memory, as the results are; page faults are most of its time at this size. Exit status 1
where a method that needs no network takes longer than the bound.

    python benchmarks/mixing.py --copies --write docs/methods_costs.json

also keeps them, and the reach of `mixing.strength`, for the cards in `docs/methods.md`.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from findings import keep
from omegaconf import OmegaConf
from timm.data.mixup import Mixup as TimmMixup
from torch import Tensor
from torchvision.transforms import v2

from mixlab.errors import UserError
from mixlab.mixing import Address, CutMix, FMix, Method, Mixup, Policy
from mixlab.mixing.binding import needs_network
from mixlab.mixing.strength import mixed_share
from mixlab.previews.batches import shipped_methods
from mixlab.runtime import keep_memory

NUM_CLASSES = 10
MOST_COPIES = 12  # of the batch, in the time of which a method has to be done
SMALL = ((3, 32, 32), (3, 64))  # rows of which a reach is measured: an image, else a point cloud
Call = Callable[[Tensor, Tensor], object]  # of images and one-hot targets


def lower_quartiles(calls: list[Call], images: Tensor, turns: int) -> list[float]:
    """Microseconds of each call: the lower quartile of `turns` turns of 20 calls."""
    times = np.empty((len(calls), turns, 20))
    targets = torch.eye(NUM_CLASSES)[torch.randint(NUM_CLASSES, (len(images),))]
    for turn, number, repeat in np.ndindex(turns, len(calls), 20):
        start = time.perf_counter()
        calls[number](images, targets)
        times[number, turn, repeat] = time.perf_counter() - start
    return [1e6 * float(np.quantile(each, 0.25)) for each in times]


def ours(method: Method) -> tuple[Call, Call]:
    """The method as a callback uses it, with its own pairs if it finds them, and alone."""
    partners = "by_method" if hasattr(method, "pairs_rows") else "permutation"
    policy, address, rng = Policy(partners=partners), Address(0), np.random.default_rng(0)

    def alone(images: Tensor, targets: Tensor) -> object:
        return method(images, targets, rng).mix(images, targets)

    def with_policy(images: Tensor, targets: Tensor) -> object:
        return policy.draw(method, images, targets, address).mix(images, targets)

    return with_policy, alone


def timm(mixup_alpha: float, cutmix_alpha: float) -> Call:
    """Row by row; it writes into the images it is given, which stay images."""
    return TimmMixup(
        mixup_alpha,
        cutmix_alpha,
        mode="elem",
        label_smoothing=0.0,
        num_classes=NUM_CLASSES,
        multi_label=True,
    )


def contests() -> list[tuple[str, Method, Call, float]]:
    """Name, ours, theirs and the largest ratio allowed."""
    v2_mixup = v2.MixUp(alpha=0.2, num_classes=NUM_CLASSES)
    v2_cutmix = v2.CutMix(alpha=1.0, num_classes=NUM_CLASSES)
    return [
        ("mixup per row, timm elem", Mixup(0.2), timm(0.2, 0.0), 1 / 8),
        ("CutMix per row, timm elem", CutMix(1.0), timm(0.0, 1.0), 1 / 8),
        ("mixup per batch, torchvision", Mixup(0.2, per_row=False), v2_mixup, 1.0),
        ("CutMix per batch, torchvision", CutMix(1.0, per_row=False), v2_cutmix, 1.0),
    ]


def shipped() -> dict[str, Method]:
    """The methods of configs/mixing by name, and a setting that costs more."""
    found = shipped_methods(OmegaConf.create({"allow": []}))
    return {**found, "fmix, soft edges": FMix(1.0, max_soft=0.2)}


def given_maps(method: Any) -> Method:
    """A copy of a method whose looks at the network are free: all maps are of random numbers."""
    if not needs_network(getattr(method, "saliency", None)):
        return method
    return replace(method, saliency=lambda images, _: torch.rand(len(images), *images.shape[2:]))


def reach(method: Method) -> float:
    """The mean mixed share of a row when every row is mixed, which no strength can exceed."""
    for shape in SMALL:
        with suppress(UserError):
            return mixed_share(method, shape)
    raise UserError(f"{type(method).__name__} takes rows of none of the shapes {SMALL}; add one")


def refusal(call: Call, images: Tensor, targets: Tensor) -> str | None:
    """Why a method takes no such images, or None where it does."""
    try:
        call(images, targets)
    except UserError as error:
        return str(error).partition(";")[0]
    return None


def medians(calls: dict[str, Call], images: Tensor, targets: Tensor, turns: int) -> dict:
    """Seconds of processor time of each call, the median of its turns."""
    times = np.empty((turns, len(calls)))
    for turn, (number, call) in itertools.product(range(turns), enumerate(calls.values())):
        start = time.process_time()
        call(images, targets)
        times[turn, number] = time.process_time() - start
    return dict(zip(calls, np.median(times, axis=0).tolist(), strict=True))


def in_copies(turns: int, path: Path | None, note: str) -> int:
    """Print each method's time in copies of the batch; how many take too long."""
    images = torch.rand(64, 3, 224, 224)
    targets = torch.eye(NUM_CLASSES)[torch.randint(NUM_CLASSES, (len(images),))]
    methods = shipped()
    calls: dict[str, Call] = {"a copy": lambda images, _: images.clone()}
    calls |= {name: ours(given_maps(method))[0] for name, method in methods.items()}
    refused = {name: why for name, call in calls.items() if (why := refusal(call, images, targets))}
    calls = {name: call for name, call in calls.items() if name not in refused}
    seconds = medians(calls, images, targets, turns)
    copy = seconds.pop("a copy")
    print(f"{'a copy':24}{1e3 * copy:8.1f} ms{'copies':>8}{'bound':>8}")
    for name, each in seconds.items():
        print(f"{name:24}{1e3 * each:8.1f} ms{each / copy:8.2f}{MOST_COPIES:8}")
    if path:
        found: dict = {name: {"refused": why} for name, why in refused.items()}
        for name, each in seconds.items():
            found[name] = {"ms": round(1e3 * each, 1), "copies": round(each / copy, 1)}
        keep(path, "copies", {"copy_ms": round(1e3 * copy, 1), "methods": found}, turns, note)
        reaches = {name: round(reach(method), 3) for name, method in methods.items()}
        keep(path, "reach", {"methods": reaches}, 1)
    free = [name for name in seconds if not needs_network(methods[name])]
    return sum(seconds[name] > MOST_COPIES * copy for name in free)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--size", type=int, default=32, help="height and width in pixels")
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--copies", action="store_true", help="all methods against a copy")
    parser.add_argument("--write", type=Path, help="a JSON file for what --copies finds")
    parser.add_argument("--note", default="", help="what the reader of the file should know")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.copies:
        keep_memory()  # or some calls find warm memory by chance, and others page faults
        return int(in_copies(arguments.turns, arguments.write, arguments.note) > 0)
    images = torch.rand(arguments.batch_size, 3, arguments.size, arguments.size)
    missed = 0
    print(f"{'us':32}{'ours':>8}{'theirs':>8}{'ratio':>8}{'bound':>8}{'method':>8}{'ratio':>8}")
    for name, method, theirs, bound in contests():
        calls = [*ours(method), theirs]
        whole, alone, their_time = lower_quartiles(calls, images, arguments.turns)
        missed += whole / their_time > bound
        print(
            f"{name:32}{whole:8.0f}{their_time:8.0f}{whole / their_time:8.3f}{bound:8.3f}", end=""
        )
        print(f"{alone:8.0f}{alone / their_time:8.3f}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
