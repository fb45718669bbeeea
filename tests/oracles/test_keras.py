"""keras's layers, given the numbers that our methods drew, return what ours return."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.same_draw import (
    IMAGES,
    ONE_HOT,
    ROUNDING,
    ROWS,
    SIZE,
    assert_same,
    draws,
    edges_of,
    shares,
)
from mixlab.data.augmentation import RandomErasing
from mixlab.data.augmentation.erase import inside
from mixlab.mixing import Blend, CutMix, Cutout, Mixup

FIRST = {"data_format": "channels_first"}


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Those of keras on PyTorch and the CPU; imported only where a test runs: it takes seconds."""
    home: Path = tmp_path_factory.mktemp("keras")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(home))  # where it writes its settings
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_TORCH_DEVICE", "cpu")
        reason = "keras is not installed: pip install -e '.[oracles]'"
        yield pytest.importorskip("keras", reason=reason).layers


def applied(layer: Any, drawn: dict[str, object]) -> tuple[Tensor, Tensor]:
    """The batch through a layer of keras with the numbers drawn for it."""
    images = layer.transform_images(IMAGES, drawn, training=True)
    return images, layer.transform_labels(ONE_HOT, drawn, training=True)


def cut_by(layer: Any, partners: Tensor, corners: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """The batch through keras's CutMix with boxes (B,) of left, right, top and bottom."""
    masks, own = layer._generate_batch_mask(IMAGES.shape, corners)
    drawn = {"permutation_order": partners, "batch_masks": masks, "mix_weight": own}
    return applied(layer, drawn)


def corners_of(edges: Tensor) -> tuple[Tensor, ...]:
    return tuple(edges.float()[:, [2, 3, 0, 1]].unbind(1))


@pytest.mark.parametrize("per_row", [True, False])
def test_mixup(layers: Any, per_row: bool) -> None:
    layer = layers.MixUp(**FIRST)
    for own, blend in zip(shares(0.4, per_row), draws(Mixup(0.4, per_row)), strict=True):
        weight = torch.from_numpy(own).float().expand(ROWS)
        drawn = {"mix_weight": weight, "permutation_order": blend.source[:, 1]}
        assert_same(applied(layer, drawn), blend)


@pytest.mark.parametrize("per_row", [True, False])
def test_cutmix_with_boxes_of_whole_pixels(layers: Any, per_row: bool) -> None:
    layer = layers.CutMix(**FIRST)
    for blend in draws(CutMix(1.0, per_row)):
        found = cut_by(layer, blend.source[:, 1], corners_of(edges_of(blend)))
        assert_same(found, blend, exact=True)


def test_cutmix_weighs_the_label_by_the_box_before_it_is_rounded_up_to_pixels(layers: Any) -> None:
    """The one difference: keras draws fractions of a pixel, and its label counts them."""
    torch.manual_seed(0)
    low = torch.rand(2, ROWS) * torch.tensor(SIZE)[:, None] / 2
    high = low + torch.rand(2, ROWS) * torch.tensor(SIZE)[:, None] / 2
    (top, left), (bottom, right) = low, high
    partners = torch.arange(ROWS).roll(1)
    images, labels = cut_by(layers.CutMix(**FIRST), partners, (left, right, top, bottom))
    covered = torch.stack([top, bottom, left, right], 1).ceil().long()
    mask = CutMix(1.0).draw(IMAGES, np.random.default_rng(0), ROWS)[1]
    blend = Blend.pair(partners.numpy(), type(mask)(covered, mask.outside, *SIZE))
    assert torch.equal(images, blend.images(IMAGES))
    drawn = (high - low).prod(0) / np.prod(SIZE)
    torch.testing.assert_close(1 - labels.diagonal(), drawn.float(), **ROUNDING)
    assert (blend.share[:, 1] - drawn).abs().max() > 0.01


def test_cutout_and_random_erasing(layers: Any) -> None:
    layer, rng = layers.RandomErasing(fill_value=0, **FIRST), np.random.default_rng(0)

    def erased(edges: Tensor) -> Tensor:
        drawn = {
            "batch_masks": layer._generate_batch_mask(IMAGES.shape, corners_of(edges)),
            "apply_erasing": torch.ones(ROWS, dtype=torch.bool),
            "fill_value": torch.zeros(()),
        }
        return applied(layer, drawn)[0]

    for blend in draws(Cutout(0.6)):
        assert torch.equal(blend.images(IMAGES), erased(edges_of(blend)))
        edges = torch.from_numpy(RandomErasing().edges(ROWS, np.array(SIZE), rng))
        found = RandomErasing().filled(IMAGES, inside(edges, IMAGES), rng)
        assert torch.equal(found, erased(edges))
