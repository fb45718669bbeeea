"""torchvision's transforms, given the numbers that our methods drew, return what ours return."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from helpers.same_draw import IMAGES, LABELS, ROWS, SIZE, assert_same, draws, edges_of, shares
from mixlab.data.augmentation import RandomErasing
from mixlab.data.augmentation.erase import inside
from mixlab.mixing import CutMix, Cutout, Mixup
from mixlab.mixing.boxes import boxes_around


def fed(transform: Any, **drawn: object) -> tuple[Tensor, Tensor]:
    """The batch through a transform of torchvision that draws nothing itself."""
    transform.make_params = lambda _: drawn
    return transform(IMAGES, LABELS)


def given_number(given: Iterator[np.ndarray], *_: Any, **__: Any) -> Tensor:
    """In place of `torch.randint`: the next of the numbers given."""
    return torch.from_numpy(next(given))


def erased(edges: Tensor) -> Tensor:
    """The batch with boxes (B, 4) made black, a call for each row."""
    boxes = zip(IMAGES, edges.tolist(), strict=True)
    return torch.stack(
        [
            v2.functional.erase(row, top, left, bottom - top, right - left, torch.zeros(()))
            for row, (top, bottom, left, right) in boxes
        ]
    )


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup(alpha: float) -> None:
    method = Mixup(alpha, per_row=False)
    for (own,), blend in zip(shares(alpha, False), draws(method, "cyclic"), strict=True):
        assert_same(fed(v2.MixUp(num_classes=ROWS), lam=float(own)), blend)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_cutmix(alpha: float) -> None:
    for blend in draws(CutMix(alpha, per_row=False), "cyclic"):
        top, bottom, left, right = edges_of(blend)[0].tolist()
        own = 1 - (bottom - top) * (right - left) / np.prod(SIZE)
        box = (left, top, right, bottom)
        mixed = fed(v2.CutMix(num_classes=ROWS), box=box, lam_adjusted=float(own))
        assert_same(mixed, blend, exact=True)


@pytest.mark.parametrize("size", [(32, 32), (13, 10), (1, 7)])
def test_the_box_of_cutmix_around_the_same_pixel(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sides, their rounding to even numbers, and what the border cuts off."""
    rng, transform, picture = np.random.default_rng(0), v2.CutMix(), torch.zeros(1, 1, *size)
    for own in rng.random(200):
        center = rng.integers(0, size, (1, 2))
        given = iter([center[:, 1], center[:, 0]])  # the column first
        monkeypatch.setattr(torch, "randint", partial(given_number, given))
        monkeypatch.setattr(transform._dist, "sample", lambda _, own=own: own)
        left, top, right, bottom = transform.make_params([picture])["box"]
        monkeypatch.undo()
        sides = np.sqrt(1 - own) * np.array([size])
        found = boxes_around(center, sides, np.array(size))
        assert found.tolist() == [[top, bottom, left, right]]


def test_cutout() -> None:
    for blend in draws(Cutout(0.6)):
        assert torch.equal(blend.images(IMAGES), erased(edges_of(blend)))


def test_random_erasing() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        edges = torch.from_numpy(RandomErasing().edges(ROWS, np.array(SIZE), rng))
        found = RandomErasing().filled(IMAGES, inside(edges, IMAGES), rng)
        assert torch.equal(found, erased(edges)) and not torch.equal(found, IMAGES)
