"""What mixing costs beside timm's `elem` mode and torchvision's v2 transforms.

    python benchmarks/mixing.py            one CPU thread, (128, 3, 32, 32) float32, 10 classes

Drawing and applying, images and one-hot targets, as a callback does it: the generator made from the
batch's address, the gate, the partners, the method. The last two columns leave the callback's part
away and let one generator live on, as theirs does. Twenty calls of each by turns in one process;
the lower quartile of all in microseconds, and ratios ours / theirs. Exit status 1 where a bound is
missed.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from timm.data.mixup import Mixup as TimmMixup
from torch import Tensor
from torchvision.transforms import v2

from mixlab.mixing import Address, CutMix, Method, Mixup, Policy

NUM_CLASSES = 10
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
    """The method as a callback uses it, and alone."""
    policy, address, rng = Policy(), Address(0), np.random.default_rng(0)

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


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--size", type=int, default=32, help="height and width in pixels")
    parser.add_argument("--turns", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
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
