"""What mixing costs, beside timm, torchvision, kornia and a copy of the batch.

    python benchmarks/mixing.py            one CPU thread, float32, 10 classes

Drawing and applying, images and one-hot targets, as a callback does it: the generator made from the
batch's address, the gate, the partners, the method. Exit status 1 where a bound is missed.

First mixup and CutMix at (128, 3, 32, 32), each against the library that is nearest: twenty calls
of each by turns, there and back, in one process; the lower quartile of all in microseconds, and
ratios ours / theirs. The last two columns leave the callback's part away and let one generator live
on, as theirs does.

Then every file of `configs/mixing/` at (128, 3, 32, 32) and (64, 3, 224, 224), as it is and, where
it draws for each row and could draw for the batch, so too: one call of each by turns, and the mean
without the tenth at each end, since a method that is chosen by chance takes what the chosen one
takes. It is processor time: a wait for a busy processor would fall upon the longer calls. Memory is
kept as in a training, so that the copy of the batch takes no page faults. A method that looks at
the network is given its maps; `benchmarks/guided_mixing.py` measures the look. Methods for clouds
and features are measured on those.

    python benchmarks/mixing.py --write docs/methods_costs.json

also keeps the second part, and the reach of `mixing.strength`, for the cards in `docs/methods.md`.
"""

import argparse
import itertools
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from findings import keep
from omegaconf import OmegaConf
from peers import NUM_CLASSES, Call, copied, peers, timm, torchvision
from scipy.stats import trim_mean
from torch import Tensor

from mixlab.errors import UserError
from mixlab.mixing import Address, CutMix, FMix, Method, Mixup, Policy
from mixlab.mixing.binding import needs_network
from mixlab.mixing.strength import mixed_share
from mixlab.previews.batches import shipped_methods
from mixlab.runtime import keep_memory

SIZES = {"32": (128, 3, 32, 32), "224": (64, 3, 224, 224)}
OWN_SHAPES = {"point_mixup": (64, 3, 64), "alignmix": (64, 64, 8, 8)}
MOST_COPIES = {"mixup": 2.5, "cutmix": 5}  # of the batch at 224, in the time of which each is done
OTHERS = 12  # copies for every other method that looks at no picture or network
LONGEST = 1.0  # seconds of a call; what takes longer is made for smaller maps of features
SMALL = ((3, 32, 32), (3, 64))  # rows of which a reach is measured: an image, else a point cloud


def lower_quartiles(calls: list[Call], images: Tensor, turns: int) -> list[float]:
    """Microseconds of each call: the lower quartile of `turns` turns of 20 calls."""
    times, targets = np.empty((len(calls), turns, 20)), targets_of(images)
    for turn, place, repeat in np.ndindex(turns, len(calls), 20):
        number = -1 - place if turn % 2 else place  # or one would always follow the slowest
        start = time.perf_counter()
        calls[number](images, targets)
        times[number, turn, repeat] = time.perf_counter() - start
    return [1e6 * float(np.quantile(each, 0.25)) for each in times]


def targets_of(images: Tensor) -> Tensor:
    return torch.eye(NUM_CLASSES)[torch.randint(NUM_CLASSES, (len(images),))]


def as_called(method: Method) -> Call:
    """The method as a callback uses it, with its own pairs if it finds them; a new address each."""
    partners = "by_method" if hasattr(method, "pairs_rows") else "permutation"
    policy, batches = Policy(partners=partners), itertools.count()

    def call(images: Tensor, targets: Tensor) -> object:
        address = Address(0, batch=next(batches))
        return policy.draw(method, images, targets, address).mix(images, targets)

    return call


def alone(method: Method) -> Call:
    """The method without policy and address."""
    rng = np.random.default_rng(0)
    return lambda images, targets: method(images, targets, rng).mix(images, targets)


def contests() -> list[tuple[str, Method, Call, float]]:
    """Name, ours, theirs and the largest ratio allowed."""
    return [
        ("mixup per row, timm elem", Mixup(0.2), timm(0.2, 0.0), 1 / 15),
        ("CutMix per row, timm elem", CutMix(1.0), timm(0.0, 1.0), 1 / 15),
        ("mixup per batch, torchvision", Mixup(0.2, per_row=False), torchvision(0.2, None), 1.0),
        ("CutMix per batch, torchvision", CutMix(1.0, per_row=False), torchvision(None, 1.0), 1.0),
    ]


def contest(turns: int) -> int:
    """Print what mixup and CutMix take beside the nearest library; how many bounds are missed."""
    images, missed = torch.rand(SIZES["32"]), 0
    print(f"{'us':32}{'ours':>8}{'theirs':>8}{'ratio':>8}{'bound':>8}{'method':>8}{'ratio':>8}")
    for name, method, theirs, bound in contests():
        calls = [as_called(method), alone(method), theirs]
        whole, part, their_time = lower_quartiles(calls, images, turns)
        ratio = whole / their_time
        missed += ratio > bound
        print(f"{name:32}{whole:8.0f}{their_time:8.0f}{ratio:8.3f}{bound:8.3f}", end="")
        print(f"{part:8.0f}{part / their_time:8.3f}")
    return missed


def shipped() -> dict[str, Method]:
    """The methods of configs/mixing by name, and a setting that costs more."""
    found = shipped_methods(OmegaConf.create({"allow": []}))
    return {**found, "fmix, soft edges": FMix(1.0, max_soft=0.2)}


def given_maps(method: Any) -> Method:
    """A copy of a method whose looks at the network are free: all maps are the same smooth ones."""
    if not needs_network(getattr(method, "saliency", None)):
        return method
    small = torch.rand(128, 1, 4, 4)
    sides = (32, 224)
    maps = {side: F.interpolate(small, side, mode="bicubic")[:, 0].clamp_min(0) for side in sides}
    return replace(method, saliency=lambda images, _: maps[images.shape[2]][: len(images)])


def per_batch(method: Any) -> Method | None:
    """The method with one draw for the batch; None where it has that or no such choice."""
    if hasattr(method, "methods"):
        parts = [per_batch(each) for each in method.methods]
        return None if None in parts else replace(method, methods=parts)
    if hasattr(method, "method"):
        part = per_batch(method.method)
        return part and replace(method, method=part)
    return replace(method, per_row=False) if getattr(method, "per_row", False) else None


def reach(method: Method) -> float:
    """The mean mixed share of a row when every row is mixed, which no strength can exceed."""
    for shape in SMALL:
        with suppress(UserError):
            return mixed_share(method, shape)
    raise UserError(f"{type(method).__name__} takes rows of none of the shapes {SMALL}; add one")


def calls_of(methods: dict[str, Method]) -> dict[tuple[str, str], Call]:
    """By name and `row` or `batch`: the copy, other libraries and our methods."""
    calls: dict[tuple[str, str], Call | None] = {("a copy", "row"): copied}
    for name, (row, batch) in peers().items():
        calls |= {(name, "row"): row, (name, "batch"): batch}
    for name, method in methods.items():
        once = per_batch(given_maps(method))
        calls |= {(name, "row"): as_called(given_maps(method))}
        calls |= {(name, "batch"): as_called(once) if once else None}
    return {key: call for key, call in calls.items() if call is not None}


def refusal(call: Call, images: Tensor, targets: Tensor) -> str | None:
    """Why a method is not measured at this size, or None where it is."""
    start = time.process_time()
    try:
        call(images, targets)
    except UserError as error:
        return str(error).partition(";")[0]
    taken = time.process_time() - start
    return f"a call takes {taken:.0f} s" if taken > LONGEST else None


def means(calls: dict, images: Tensor, targets: Tensor, turns: int) -> dict:
    """Milliseconds of processor time of each call, the mean of its turns without extremes."""
    times = np.empty((turns, len(calls)))
    for turn, (number, call) in itertools.product(range(turns), enumerate(calls.values())):
        start = time.process_time()
        call(images, targets)
        times[turn, number] = time.process_time() - start
    return dict(zip(calls, (1e3 * trim_mean(times, 0.1, axis=0)).tolist(), strict=True))


def costs_at(shape: tuple[int, ...], methods: dict[str, Method], turns: int) -> dict[str, dict]:
    """By name: `ms` and `copies`, `batch_ms` with one draw for the batch, or why it is refused."""
    images = torch.rand(shape)
    targets, calls = targets_of(images), calls_of(methods)
    refused = {key: why for key, call in calls.items() if (why := refusal(call, images, targets))}
    found: dict[str, dict] = {name: {"refused": why} for (name, _), why in refused.items()}
    taken = {key: call for key, call in calls.items() if key not in refused}
    times = means(taken, images, targets, turns)
    copy = times[("a copy", "row")]
    for (name, draws), ms in times.items():
        each = found.setdefault(name, {})
        each |= {"ms" if draws == "row" else "batch_ms": float(f"{ms:.2g}")}
        each |= {"copies" if draws == "row" else "batch_copies": round(ms / copy, 1)}
    return found


def own_costs(methods: dict[str, Method], turns: int) -> dict[str, dict]:
    """What methods take that are not made for images: `shape` and `ms`."""
    found = {}
    for name, shape in OWN_SHAPES.items():
        images = torch.rand(shape)
        times = means({name: as_called(methods[name])}, images, targets_of(images), turns)
        found[name] = {"shape": str(shape), "ms": float(f"{times[name]:.2g}")}
        print(f"{name:24}{found[name]['ms']:>12} ms at {shape}")
    return found


def table(found: dict[str, dict[str, dict]], names: list[str]) -> None:
    """Print milliseconds per row, copies, and milliseconds per batch at each size."""
    heads = [f"{f'ms at {size}':>12}{'copies':>8}{'batch':>8}" for size in found]
    print(f"\n{'':24}" + "".join(heads))
    for name in names:
        cells = [found[size][name] for size in found]
        words = [[each.get(key, "-") for key in ("ms", "copies", "batch_ms")] for each in cells]
        print(f"{name:24}" + "".join(f"{ms:>12}{copies:>8}{once:>8}" for ms, copies, once in words))


def too_slow(found: dict[str, dict], methods: dict[str, Method]) -> list[str]:
    """What takes more copies than its bound, of the shipped methods that have one."""
    bounds = {name: MOST_COPIES.get(name, OTHERS) for name in methods if "," not in name}
    slow = [name for name, most in bounds.items() if found[name].get("copies", 0) > most]
    return [name for name in slow if not hasattr(methods[name], "saliency")]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--write", type=Path, help="a JSON file for what the second part finds")
    parser.add_argument("--note", default="", help="what the reader of the file should know")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()  # or some calls find warm memory by chance, and others page faults
    missed, methods = contest(arguments.turns), shipped()
    found = {size: costs_at(shape, methods, arguments.turns) for size, shape in SIZES.items()}
    table(found, list(found["224"]))
    own = own_costs(methods, min(arguments.turns, 10))
    slow = too_slow(found["224"], methods)
    print(f"\nmore copies at 224 than their bound: {', '.join(slow) or 'none'}")
    if arguments.write:
        beside = [name for name in found["224"] if name not in methods or "," in name]
        costs = {**found, "own": own, "beside": beside}
        keep(arguments.write, "costs", costs, arguments.turns, arguments.note)
        reaches = {name: round(reach(method), 3) for name, method in methods.items()}
        keep(arguments.write, "reach", {"methods": reaches}, 1)
    return int(missed + len(slow) > 0)


if __name__ == "__main__":
    sys.exit(main())
