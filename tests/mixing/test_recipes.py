"""The recipes of papers and libraries draw what the libraries draw."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm.data
import torch
from omegaconf import OmegaConf
from scipy import stats
from torchvision.transforms import v2

from helpers.mixing_cases import CONFIGS, METHODS, mean_pixel
from mixlab.mixing import Address, Policy

ROWS, SIZE, CLASSES = 8, (24, 20), 8
IMAGES = torch.eye(ROWS)[:, :, None, None].expand(ROWS, ROWS, *SIZE).contiguous()
BATCHES = 600
Mix = Callable[[int], tuple[torch.Tensor, torch.Tensor]]


def ours(name: str) -> Mix:
    policy = Policy(partners=OmegaConf.load(CONFIGS / f"{name}.yaml").partners)  # pyright: ignore

    def mix(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        address = Address(0, 0, 0, batch)
        return policy.draw(METHODS[name], IMAGES, torch.eye(ROWS), address).mix(
            IMAGES, torch.eye(ROWS)
        )

    return mix


def by_timm(**knobs: float) -> Mix:
    mixup = timm.data.Mixup(**knobs, label_smoothing=0.0, num_classes=CLASSES)  # pyright: ignore
    return lambda _: mixup(IMAGES.clone(), torch.arange(ROWS))


def by_torchvision(_: int) -> tuple[torch.Tensor, torch.Tensor]:
    choice = v2.RandomChoice(
        [v2.MixUp(alpha=0.2, num_classes=CLASSES), v2.CutMix(alpha=1.0, num_classes=CLASSES)]
    )
    return choice(IMAGES.clone(), torch.arange(ROWS))


LIBRARIES: dict[str, Mix] = {
    "timm_default": by_timm(),
    "deit": by_timm(mixup_alpha=0.8, cutmix_alpha=1.0),
    "convnext": by_timm(mixup_alpha=0.8, cutmix_alpha=1.0),
    "torchvision_references": by_torchvision,
}


def measured(mix: Mix) -> tuple[np.ndarray, np.ndarray]:
    """(BATCHES, ROWS) own shares in label and in pixels; both have to agree."""
    labels, pixels = [], []
    for batch in range(BATCHES):
        images, targets = mix(batch)
        labels.append(targets.diagonal().numpy())
        pixels.append(mean_pixel(images).diagonal().numpy())
    return np.array(labels), np.array(pixels)


@pytest.fixture(scope="module")
def shares() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Own shares of each recipe and of its library."""
    np.random.seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = {f"{name} there": measured(mix) for name, mix in LIBRARIES.items()}
    return {name: measured(ours(name)) for name in LIBRARIES} | theirs


@pytest.mark.parametrize("name", LIBRARIES)
def test_own_shares_are_distributed_as_the_librarys(name: str, shares: dict) -> None:
    (own, pixels), (theirs, _) = shares[name], shares[f"{name} there"]
    assert np.abs(own - pixels).max() < 1e-5
    assert np.ptp(own, axis=1).max() == 0 == np.ptp(theirs, axis=1).max(), "one draw for each batch"
    own, theirs = own[:, 0], theirs[:, 0]
    error = np.sqrt((own.var(ddof=1) + theirs.var(ddof=1)) / BATCHES)
    assert abs(own.mean() - theirs.mean()) < 4 * error
    squares = [(each - each.mean()) ** 2 for each in (own, theirs)]
    error = np.sqrt(sum(each.var(ddof=1) for each in squares) / BATCHES)
    assert abs(squares[0].mean() - squares[1].mean()) < 4 * error
    test: Any = stats.ks_2samp(own, theirs)
    assert test.pvalue > 0.001


@pytest.mark.parametrize("name", LIBRARIES)
def test_partners_are_the_librarys(name: str) -> None:
    def partners(mix: Mix) -> set[tuple[int, ...]]:
        found = set()
        for batch in range(60):
            rest = mix(batch)[1].clone().fill_diagonal_(0)
            if (rest.amax(1) > 0).all():
                found.add(tuple(rest.argmax(1).tolist()))
        return found

    assert partners(ours(name)) == partners(LIBRARIES[name]) != set()
