"""Cards show draws in which both rows are seen, of the same rows for every method."""

from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import nn

from mixlab.config.keys import config_dir
from mixlab.mixing import Blend, CutMix, CutThumbnail, Mixup
from mixlab.mixing.methods import HardPatchUp
from mixlab.pictures.card import CARD_SIDE
from mixlab.previews.cards import KEPT_OF_ROW, card_of, dots, drawn, of_features, photographs
from mixlab.previews.untrained import untrained


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return photographs()


def configured(*words: str) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("preview", overrides=list(words))


def test_the_photographs(images: torch.Tensor) -> None:
    assert images.shape == (2, 3, CARD_SIDE, CARD_SIDE) and images.min() >= 0 and images.max() <= 1
    temple, flower = images.mean((1, 2, 3))
    assert temple > flower > 0.1  # sky, and dark leaves


@pytest.mark.parametrize("method", [Mixup(0.2), CutMix(1.0)])
def test_both_rows_are_seen(method: Mixup | CutMix, images: torch.Tensor) -> None:
    blend = drawn(method, images, torch.eye(2))
    assert KEPT_OF_ROW[0] <= float(blend.own_content[0]) <= KEPT_OF_ROW[1]
    assert blend.source.tolist() == [[0, 1], [1, 0]]
    again = drawn(method, images, torch.eye(2))
    assert torch.equal(blend.images(images), again.images(images))


def test_the_nearest_draw_where_none_is_near(images: torch.Tensor) -> None:
    assert float(drawn(CutThumbnail(), images, torch.eye(2)).own_content[0]) == 0.75
    kept: list[float] = []

    class Weak:
        num_partners = 1

        def __call__(self, images: torch.Tensor, targets: torch.Tensor, rng: Any, partners: Any):
            kept.append(float(np.float32(rng.uniform(0.8, 1))))
            return Blend.pair(partners[:, 0], torch.tensor([[kept[-1], 1 - kept[-1]]]))

    found = float(drawn(Weak(), images, torch.eye(2)).own_content[0])
    assert found == min(kept) < kept[-1] and len(set(kept)) == 40


def test_one_of_several_methods_has_a_tile_for_each() -> None:
    network = nn.Identity()
    one, two, four = (card_of(configured(f"mixing={name}").mixing, network).width
                      for name in ("mixup", "deit", "randommix"))  # fmt: skip
    assert two - one == (four - two) / 2 > CARD_SIDE


def test_features_are_those_of_the_network(images: torch.Tensor) -> None:
    cfg = configured("model=cnn")
    first, second = (untrained(cfg, images, range(2)) for _ in range(2))
    one, same = (np.asarray(of_features(HardPatchUp(), images, each).convert("RGB"))
                 for each in (first, second))  # fmt: skip
    assert np.array_equal(one, same)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.copy_(torch.randn_like(parameter))
    other = np.asarray(of_features(HardPatchUp(), images, second).convert("RGB"))
    assert other.shape == one.shape and not np.array_equal(other, one)


def test_points_as_dots() -> None:
    page = dots(torch.tensor([[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]]))  # the second left and above
    dark = (page[0] < 0.5).nonzero().float()
    assert len(dark) == 8
    middle, corner = (
        dark[dark[:, 0] > CARD_SIDE / 3].mean(0),
        dark[dark[:, 0] < CARD_SIDE / 3].mean(0),
    )
    assert corner[0] < middle[0] and corner[1] < middle[1]
    assert (middle - CARD_SIDE / 2).abs().max() < 2
