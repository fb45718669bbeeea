"""What mixing costs beside timm's `elem` mode and torchvision's v2 transforms.

    python benchmarks/mixing.py            one CPU thread, (128, 3, 32, 32) float32, 10 classes

Drawing and applying, images and targets, twenty calls of one and twenty of the other by turns in
one process; the lower quartile of all calls in microseconds, and the ratio ours / theirs. Ours is
what the callback does: the stream of the address, gate, partners, method, blend. Exit status 1
where a ratio misses its bound.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from timm.data.mixup import Mixup as TimmMixup
from torchvision.transforms import v2

from mixlab.mixing import Address, CutMix, Method, Mixup, Policy

Call = Callable[[], object]


def lower_quartiles(calls: tuple[Call, ...], turns: int, calls_a_turn: int = 20) -> list[float]:
    """Microseconds of each call: the lower quartile of `turns` turns of `calls_a_turn` calls."""
    times = np.empty((len(calls), turns, calls_a_turn))
    for turn, number, repeat in np.ndindex(turns, len(calls), calls_a_turn):
        start = time.perf_counter()
        calls[number]()
        times[number, turn, repeat] = time.perf_counter() - start
    return [1e6 * float(np.quantile(each, 0.25)) for each in times]


def contests(batch_size: int, size: int, num_classes: int) -> list[tuple[str, Call, Call, float]]:
    """Name, ours, theirs and the largest ratio allowed."""
    images = torch.rand(batch_size, 3, size, size)
    classes = torch.randint(num_classes, (batch_size,))
    targets = torch.nn.functional.one_hot(classes, num_classes).float()

    def ours(method: Method) -> Call:
        policy, address = Policy(), Address(0)
        return lambda: policy.draw(method, images, targets, address).mix(images, targets)

    def timm(**alphas: float) -> Call:
        options = {"mode": "elem", "label_smoothing": 0.0, "num_classes": num_classes}
        mixer = TimmMixup(**alphas, **options)  # pyright: ignore[reportArgumentType]
        return lambda: mixer(images, classes)  # it writes into the images, which stay images

    def torchvision(transform: torch.nn.Module) -> Call:
        return lambda: transform(images, classes)

    timm_mixup, timm_cutmix = timm(mixup_alpha=0.2), timm(mixup_alpha=0.0, cutmix_alpha=1.0)
    v2_mixup = torchvision(v2.MixUp(alpha=0.2, num_classes=num_classes))
    v2_cutmix = torchvision(v2.CutMix(alpha=1.0, num_classes=num_classes))
    return [
        ("mixup per row, timm elem", ours(Mixup(0.2)), timm_mixup, 1 / 8),
        ("CutMix per row, timm elem", ours(CutMix(1.0)), timm_cutmix, 1 / 8),
        ("mixup per batch, torchvision", ours(Mixup(0.2, per_row=False)), v2_mixup, 1.0),
        ("CutMix per batch, torchvision", ours(CutMix(1.0, per_row=False)), v2_cutmix, 1.0),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--size", type=int, default=32, help="height and width in pixels")
    parser.add_argument("--turns", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    missed = 0
    print(f"{'':32}{'ours us':>9}{'theirs us':>11}{'ratio':>8}{'bound':>8}")
    for name, ours, theirs, bound in contests(arguments.batch_size, arguments.size, num_classes=10):
        our_time, their_time = lower_quartiles((ours, theirs), arguments.turns)
        ratio = our_time / their_time
        missed += ratio > bound
        print(f"{name:32}{our_time:9.0f}{their_time:11.0f}{ratio:8.3f}{bound:8.3f}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
