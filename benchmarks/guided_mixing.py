"""What methods that look at the picture or the network cost, the look apart from the rest.

    python benchmarks/guided_mixing.py     one CPU thread, (64, 3, 32, 32) float32, resnet20

Milliseconds of a batch by turns in one process, trimmed means: the saliency of the rows that
the method looks at, all else (drawing, the search, applying), and their sum as a share of one
training step of the network, which is a pass forward and backward without the optimizer. Of
AutoMix, the look is the features of the batch, and the rest includes training the mix block.

    python benchmarks/guided_mixing.py --write docs/methods_costs.json

also keeps them for the cards in `docs/methods.md`.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from findings import keep
from scipy.stats import trim_mean
from torch import Tensor

from mixlab.data.spec import ImageSpec
from mixlab.mixing import AttentiveMix, GuidedMixup, Mixup, PuzzleMix, SaliencyMix, SnapMix, bind
from mixlab.mixing.mask_learner import MaskLearner
from mixlab.mixing.methods import AutoMix
from mixlab.mixing.saliency import InputGradient, Saliency
from mixlab.models.networks import ResNet

METHODS = {
    "saliencymix": SaliencyMix(),
    "attentivemix": AttentiveMix(),
    "puzzlemix": PuzzleMix(),
    "puzzlemix, nothing moves": PuzzleMix(transport_cost=None),
    "snapmix": SnapMix(),
    "guidedmixup": GuidedMixup(),
    "guidedmixup by the gradient": GuidedMixup(saliency=InputGradient()),
}


def trimmed_means(calls: list[Callable[[], object]], turns: int) -> list[float]:
    """Milliseconds of each call."""
    times = np.empty((len(calls), turns))
    for turn, number in np.ndindex(turns, len(calls)):
        start = time.perf_counter()
        calls[number]()
        times[number, turn] = time.perf_counter() - start
    return (1e3 * trim_mean(times, 0.1, axis=1)).tolist()


def known(maps: Tensor) -> Saliency:
    """A saliency that costs nothing."""
    return lambda images, targets: maps[: len(images)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--size", type=int, default=32, help="height and width in pixels")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--write", type=Path, help="a JSON file for what is found")
    parser.add_argument("--note", default="", help="what the reader of the file should know")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, size = arguments.batch_size, arguments.size
    network = ResNet(ImageSpec(3, size, size, tuple("abcdefghij")))
    images, targets = torch.rand(rows, 3, size, size), torch.eye(10)[torch.arange(rows) % 10]

    def step() -> None:
        F.cross_entropy(network(images), targets).backward()

    print(f"{'ms':26}{'look':>8}{'rest':>8}{'of a step':>11}")
    found = {}
    for name, method in METHODS.items():
        found[name] = costs(bind(method, network), images, targets, step, arguments.turns)
    found |= learned_costs(network, images, targets, step, arguments.turns)
    for name, (look, rest, whole) in found.items():
        print(f"{name:26}{look:8.1f}{rest:8.1f}{(look + rest) / whole:11.2f}")
    if arguments.write:
        kept = {
            name: {
                "look_ms": round(look),
                "rest_ms": round(rest),
                "of_step": round((look + rest) / whole, 2),
            }
            for name, (look, rest, whole) in found.items()
            if look
        }
        keep(arguments.write, "looks", {"methods": kept}, arguments.turns, arguments.note)


def costs(
    method: SaliencyMix | AttentiveMix | PuzzleMix | SnapMix | GuidedMixup,
    images: Tensor,
    targets: Tensor,
    step: Callable[[], None],
    turns: int,
) -> list[float]:
    """Milliseconds of the method's look, of the rest of it, and of a step."""
    blind = replace(method, saliency=known(method.saliency(images, targets)))
    rng = np.random.default_rng(0)
    return trimmed_means(
        [
            lambda: method.saliency(images, targets),
            lambda: blind(images, targets, rng).mix(images, targets),
            step,
        ],
        turns,
    )


def learned_costs(
    network: ResNet, images: Tensor, targets: Tensor, step: Callable[[], None], turns: int
) -> dict[str, tuple[float, float, float]]:
    """Of AutoMix, and of mixup, which looks at nothing."""
    layer, rng = network.feature_layers[-2], np.random.default_rng(0)
    learner = MaskLearner(network, layer, images, torch.Generator().manual_seed(0))
    method = bind(AutoMix(), learner.network.knowing(images))
    partner, own = rng.permutation(len(images)), rng.beta(2.0, 2.0, len(images))

    def rest_of_it() -> None:
        learner.follow(network)
        method(images, targets, rng).mix(images, targets)
        learner.learn(method, images, targets, partner, own, rows=len(images))

    look, rest, mixup, whole = trimmed_means(
        [
            lambda: learner.network.features(images),
            rest_of_it,
            lambda: Mixup(1.0)(images, targets, rng).mix(images, targets),
            step,
        ],
        turns,
    )
    return {"automix": (look, rest, whole), "mixup": (0.0, mixup, whole)}


if __name__ == "__main__":
    main()
