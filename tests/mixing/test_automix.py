"""AutoMix: the label is the mean of the mask whatever the mask, or the paper's share."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mixlab.errors import UserError
from mixlab.mixing import Blend, Mixer, OneOf, bind
from mixlab.mixing.mask_network import MOST_PLACES, MaskNetwork
from mixlab.mixing.masks import mean_share, painted
from mixlab.mixing.methods import AutoMix, Mixup
from mixlab.mixing.mix_block import MixBlock
from mixlab.mixing.promise import check_promise

PARTNERS = np.array([2, 0, 1, 3, 5, 4])


def convolutions() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout()
    )


def masks(layer: str = "1", scale: float = 40.0) -> MaskNetwork:
    """Of a block whose masks are far from uniform."""
    block = MixBlock(4, torch.Generator().manual_seed(0))
    block.value.data *= scale
    return MaskNetwork(convolutions(), layer, block)


def drawn(method: AutoMix, images: Tensor, seed: int = 0) -> Blend:
    return method(images, torch.eye(6), np.random.default_rng(seed), PARTNERS)


@pytest.mark.parametrize("per_row", [True, False])
@pytest.mark.parametrize("size", [(16, 16), (9, 21)])
def test_the_label_is_the_share_that_was_drawn_and_the_mean_of_the_mask(
    per_row: bool, size: tuple[int, int]
) -> None:
    method = bind(AutoMix(1.5, per_row), masks())
    blend = drawn(method, torch.rand(6, 3, *size))
    own = np.random.default_rng(0).beta(1.5, 1.5, 6 if per_row else 1)
    torch.testing.assert_close(blend.share[:, 0], torch.from_numpy(own).float())
    mean = mean_share(blend.mask)
    torch.testing.assert_close(mean, blend.share.expand(6, 2), rtol=0, atol=1e-6)
    mask = painted(blend.mask)
    assert mask.std() > 0.1, "not one number a row"
    assert not mask.requires_grad
    check_promise(method, blend)


def test_the_papers_label_is_the_share_and_its_mask_anything() -> None:
    method = bind(AutoMix(exact=False), masks())
    blend = drawn(method, torch.rand(6, 3, 16, 16))
    own = torch.from_numpy(np.random.default_rng(0).beta(2.0, 2.0, 6)).float()
    torch.testing.assert_close(blend.share[:, 0], own)
    assert (mean_share(blend.mask) - blend.share).abs().max() > 0.1
    assert method.label_differs and AutoMix().label_differs is None
    check_promise(method, blend)


def test_a_row_that_keeps_all_or_nothing_is_one_of_the_images() -> None:
    raw = torch.rand(2, 1, 5, 5)
    fitted = AutoMix().fitted(raw, np.array([1.0, 0.0]))
    assert (fitted[0] == 1).all() and (fitted[1] == 0).all()
    assert torch.equal(AutoMix(exact=False).fitted(raw, np.array([1.0, 0.0])), raw)


def test_masks_are_those_of_the_rows_and_of_their_partners() -> None:
    network, images = masks(), torch.rand(6, 3, 16, 16)
    own = np.linspace(0.1, 0.9, 6)
    features = network.encoder[:2](images)  # pyright: ignore
    features = features / features.square().mean((1, 2, 3), keepdim=True).sqrt()
    share = torch.from_numpy(own).float()
    expected = network.block(features, features[PARTNERS], share, (16, 16))  # pyright: ignore
    torch.testing.assert_close(network(images, PARTNERS, own), expected)


def test_the_look_leaves_no_trace_and_reaches_the_block_alone() -> None:
    network, images = masks(), torch.rand(6, 3, 40, 36)
    network.train()
    state = torch.get_rng_state()
    assert network.features(images).shape == (6, 4, MOST_PLACES, MOST_PLACES)
    network(images, PARTNERS, np.array([0.5])).sum().backward()
    assert torch.equal(torch.get_rng_state(), state) and network.encoder.training
    assert all(weight.grad is None for weight in network.encoder.parameters())
    block = network.block
    assert block is not None and all(each.grad is not None for each in block.parameters())


def test_images_that_were_looked_at_are_not_looked_at_again() -> None:
    network, images, own = masks(), torch.rand(6, 3, 16, 16), np.linspace(0.1, 0.9, 6)
    looked, other = network.knowing(images), torch.rand(6, 3, 16, 16)
    expected = [network(each, PARTNERS, own) for each in (images, other)]
    assert torch.equal(looked(other, PARTNERS, own), expected[1])
    looked.encoder.forward = None  # pyright: ignore
    assert torch.equal(looked(images, PARTNERS, own), expected[0])
    assert looked.block is network.block


def test_the_best_known_network_is_kept() -> None:
    first = masks()
    method = bind(AutoMix(), first)
    assert bind(method, masks()).network is first
    one_of: Any = bind(OneOf([AutoMix(), Mixup(1.0)]), first)
    assert one_of.methods[0].network is first


def test_channels_last_networks_are_understood() -> None:
    class Last(nn.Module):
        output_fmt = "NHWC"

        def forward(self, images: Tensor) -> Tensor:
            return images.movedim(1, 3)

    features = MaskNetwork(Last()).features(torch.rand(2, 3, 5, 7))
    assert features.shape == (2, 3, 5, 7)


@pytest.mark.parametrize("method", [AutoMix(), OneOf([AutoMix(), Mixup(1.0)])])
def test_without_its_callback_it_is_refused(method: Any) -> None:
    with pytest.raises(UserError, match="use mixlab.callbacks.LearnedMixingCallback in place of M"):
        Mixer(method, network=convolutions(), seed=0)
    with pytest.raises(UserError, match="given none; use mixlab.callbacks.LearnedMixingCallback"):
        method(torch.rand(2, 3, 8, 8), torch.eye(2), np.random.default_rng(0))


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_masks_do_not_depend_on_the_scale_of_the_features(scale: float) -> None:
    network, images = convolutions(), torch.rand(6, 3, 16, 16)
    block = MixBlock(4, torch.Generator().manual_seed(0))
    scaled = nn.Sequential(network[0], nn.Tanh(), Times(scale))
    share = np.full(6, 0.4)
    expected = MaskNetwork(network, "1", block)(images, PARTNERS, share)
    found = MaskNetwork(scaled, "2", block)(images, PARTNERS, share)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        return self.factor * features


def test_a_layer_without_a_map_is_a_sentence() -> None:
    images = torch.rand(2, 3, 8, 8)
    with pytest.raises(UserError, match=r"and layer 3 of Sequential gives none; set mixing.la"):
        MaskNetwork(convolutions(), "3").features(images)
    with pytest.raises(UserError, match="and no layer of Flatten gives one; set mixing.layer"):
        MaskNetwork(nn.Flatten()).features(images)
    with pytest.raises(UserError, match=r"AutoMix needs .*\(mixing=mixup\), .* PointMixup$"):
        MaskNetwork(convolutions()).features(images.flatten(2))  # neither takes what is no picture
