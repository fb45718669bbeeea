"""Saliency maps: what they are, where they look, and what is refused in a sentence."""

import pytest
import timm
import torch
from torch import Tensor, nn

from helpers.any_network import AnyNetwork, first_columns
from mixlab.mixing.saliency import (
    ActivationMap,
    InputGradient,
    SpectralResidual,
    maps_of,
    normalized,
)

NETWORK = AnyNetwork()
SALIENCIES = {
    "gradient": InputGradient(first_columns, NETWORK),
    "spectrum": SpectralResidual(),
    "features": ActivationMap(network=NETWORK),
}


def spot(row: int, column: int, size: int = 40) -> Tensor:
    """(1, 1, size, size): a smooth background with a spot of 5 x 5 pixels around a place."""
    y = torch.linspace(0, 1, size)
    picture = (0.3 * y[:, None] + 0.2 * y)[None, None].clone()
    picture[..., row - 2 : row + 3, column - 2 : column + 3] = 1
    return picture


@pytest.mark.parametrize("name", SALIENCIES)
@pytest.mark.parametrize("shape", [(5, 3, 9, 14), (2, 1, 1, 1), (3, 1, 90, 70), (2, 3, 4, 8, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_map_is_a_distribution_over_the_pixels(
    name: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    images = torch.rand(shape, dtype=dtype)
    maps = SALIENCIES[name](images, torch.eye(shape[0]))
    assert maps.shape == (shape[0], *shape[-2:]) and maps.dtype == torch.float32
    assert (maps >= 0).all() and not maps.requires_grad
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(shape[0]))


@pytest.mark.parametrize("name", SALIENCIES)
def test_a_blank_picture_has_a_map_too(name: str) -> None:
    maps = SALIENCIES[name](torch.zeros(2, 1, 8, 8), torch.eye(2))
    assert maps.isfinite().all()
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(2))


def test_nothing_to_see_is_uniform_and_what_is_not_a_number_is_nothing() -> None:
    maps = torch.zeros(3, 2, 2)
    maps[1, 0, 0], maps[2, 0, 1], maps[2, 1, 1] = float("nan"), 1e-30, -5
    found = normalized(maps)
    assert torch.equal(found[:2], torch.full((2, 2, 2), 0.25))
    assert torch.equal(found[2], torch.tensor([[0.0, 1.0], [0.0, 0.0]]))


@pytest.mark.parametrize("place", [(8, 30), (20, 20), (33, 6)])
def test_the_spectrum_tells_a_spot_from_its_surroundings(place: tuple[int, int]) -> None:
    maps = SpectralResidual()(spot(*place), torch.ones(1, 1))[0]
    row, column = divmod(int(maps.argmax()), 40)
    assert abs(row - place[0]) <= 3 and abs(column - place[1]) <= 3


def test_the_spectrum_looks_at_large_pictures_in_small() -> None:
    large = nn.functional.interpolate(spot(10, 30), scale_factor=8)
    row, column = divmod(int(SpectralResidual()(large, torch.ones(1, 1))[0].argmax()), 320)
    assert abs(row - 84) <= 24 and abs(column - 244) <= 24


def linear_network() -> nn.Module:
    """Logit c is the sum of channel c over quarter c of a picture of 8 x 8."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4 * 64, 4, bias=False)).requires_grad_(False)
    weight = torch.zeros(4, 4, 8, 8)
    for number in range(4):
        top, left = 4 * (number // 2), 4 * (number % 2)
        weight[number, number, top : top + 4, left : left + 4] = 1
    net[1].weight.copy_(weight.flatten(1))
    return net


def test_the_gradient_is_that_of_the_rows_own_loss() -> None:
    """d loss / d x is p - y times the weights: largest in the quarter of a class that is absent."""
    images, targets = torch.zeros(4, 4, 8, 8), torch.eye(4)
    maps = InputGradient().bind(linear_network())(images, targets)
    quarters = nn.functional.avg_pool2d(maps[:, None], 4).flatten(1) * 16
    expected = torch.full((4, 4), 1 / 6) + torch.eye(4) / 3  # |p - y| / sum: 3/4 to 1/4
    torch.testing.assert_close(quarters, expected)


def pooled_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 4),
    )  # fmt: skip


class ChannelsLast(nn.Module):
    """`pooled_network` as some of timm are: features (R, h, w, F), and a map of one place at last.

    That map has more than one feature, and no more than one pixel.
    """

    output_fmt = "NHWC"

    def __init__(self) -> None:
        super().__init__()
        *features, _, _, self.head = pooled_network()
        self.features = nn.Sequential(*features)
        self.as_they_are, self.one_place = nn.Identity(), nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        features = self.as_they_are(self.features(images).movedim(1, 3))
        return self.head(self.one_place(features.mean((1, 2), keepdim=True)).flatten(1))


@pytest.mark.parametrize("of_class", [False, True])
def test_channels_last_networks_are_understood(of_class: bool) -> None:
    images, targets = torch.rand(4, 3, 8, 12), torch.eye(4)
    first, last = (
        ActivationMap(of_class=of_class, network=net) for net in (pooled_network(), ChannelsLast())
    )
    torch.testing.assert_close(last(images, targets), first(images, targets))


def test_of_a_class_it_is_the_class_activation_map_of_a_pooled_network() -> None:
    net, images, targets = pooled_network(), torch.rand(4, 3, 8, 8), torch.eye(4)
    maps = ActivationMap(of_class=True).bind(net)(images, targets)
    with torch.no_grad():
        cam = torch.einsum("rfhw,rf->rhw", net[1](net[0](images)), net[4].weight)
    cam = cam - cam.amin((1, 2), keepdim=True)
    torch.testing.assert_close(maps, cam / cam.sum((1, 2), keepdim=True))


def test_a_layer_is_named_and_the_last_large_map_is_the_default() -> None:
    net, images = pooled_network(), torch.rand(4, 3, 8, 8)
    maps = {
        layer: ActivationMap(layer).bind(net)(images, torch.eye(4)) for layer in (None, "0", "1")
    }
    assert torch.equal(maps[None], maps["1"]) and not torch.equal(maps["0"], maps["1"])
    for number in (0, 1):  # as a command line gives them
        numbered = ActivationMap(number).bind(net)(images, torch.eye(4))
        assert torch.equal(numbered, maps[str(number)])


def swin() -> nn.Module:
    torch.manual_seed(0)
    kwargs: dict = {"window_size": 4, "depths": (1, 1), "num_heads": (2, 4), "embed_dim": 16}
    return timm.create_model("swin_tiny_patch4_window7_224", img_size=32, num_classes=4, **kwargs)


def test_features_are_compared_before_a_last_normalization_makes_them_alike() -> None:
    """The norm of what a LayerNorm gives is nearly the same at each pixel."""
    net, images, targets = swin(), torch.rand(4, 3, 32, 32), torch.eye(4)
    maps = {
        layer: ActivationMap(layer).bind(net)(images, targets) for layer in (None, "layers", "norm")
    }
    assert torch.equal(maps[None], maps["layers"])
    spread = [maps[layer].std() / maps[layer].mean() for layer in (None, "norm")]
    assert spread[0] > 100 * spread[1]


def test_a_class_is_told_by_the_features_that_the_head_averages() -> None:
    net, images, targets = swin(), torch.rand(4, 3, 32, 32), torch.eye(4)
    of_class = ActivationMap(of_class=True)
    named = ActivationMap("norm", of_class=True)
    assert torch.equal(of_class.bind(net)(images, targets), named.bind(net)(images, targets))


def test_what_an_attention_makes_of_tokens_is_no_map() -> None:
    """Its keys are (R, heads, tokens, features)."""
    kwargs: dict = {"img_size": 32, "patch_size": 8, "depth": 1, "num_classes": 4}
    net, images = timm.create_model("vit_tiny_patch16_224", **kwargs), torch.rand(4, 3, 32, 32)
    for of_class in (False, True):
        with pytest.raises(
            ValueError, match="VisionTransformer has no output of .* use mixing=transmix"
        ):
            ActivationMap(of_class=of_class).bind(net)(images, torch.eye(4))
    for layer in ("patch_embed.proj", "blocks.0.attn.k_norm"):  # named, anything is taken
        maps = ActivationMap(layer).bind(net)(images, torch.eye(4))
        torch.testing.assert_close(maps.sum((1, 2)), torch.ones(4))


def test_a_network_without_maps_is_offered_what_needs_none() -> None:
    net, images = (
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4)),
        torch.rand(4, 3, 8, 8),
    )
    with pytest.raises(ValueError, match="no output of .* or use mixing=saliencymix, which needs"):
        ActivationMap().bind(net)(images, torch.eye(4))


def test_a_network_of_its_own_stays() -> None:
    own, images, targets = pooled_network(), torch.rand(4, 3, 8, 8), torch.eye(4)
    for kind in (ActivationMap, InputGradient):
        one = kind(network=own)
        assert torch.equal(one.bind(linear_network())(images, targets), one(images, targets))


class Named(nn.Module):
    """Logits as other libraries return them."""

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        return {"logits": logits}


def test_what_is_refused_in_a_sentence() -> None:
    images, targets = torch.rand(4, 3, 8, 8), torch.eye(4)
    for saliency in (InputGradient(), ActivationMap()):
        with pytest.raises(ValueError, match="was given none; use MixingCallback, Mixer"):
            saliency(images, targets)
    wrong = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    named = nn.ModuleDict({"conv_last": nn.Conv2d(3, 4, 3), "head": nn.Linear(4, 4)})
    with pytest.raises(ValueError, match="no output of rows x features x height x width"):
        ActivationMap().bind(wrong)(images, targets)
    with pytest.raises(ValueError, match="layer=convlast is no layer of ModuleDict; .*conv_last"):
        ActivationMap("convlast").bind(named)
    with pytest.raises(ValueError, match="layer=foo is no layer of ModuleDict; it has conv_last, "):
        ActivationMap("foo").bind(named)
    with pytest.raises(ValueError, match=r"\(4, 4\) and the targets \(4, 5\).* same classes"):
        InputGradient().bind(pooled_network())(images, torch.rand(4, 5))
    net = pooled_network()
    net.append(Named())
    for saliency in (InputGradient(), ActivationMap(of_class=True)):
        with pytest.raises(ValueError, match="needs logits, and the network gives a dict; wrap it"):
            saliency.bind(net)(images, targets)


def test_a_saliency_of_another_shape_is_named() -> None:
    images, rows = torch.rand(4, 3, 8, 6), torch.arange(3).numpy()
    with pytest.raises(ValueError, match=r"function returned .*\(3, 3, 8, 6\).* here \(3, 8, 6\)"):
        maps_of(lambda images, targets: images, images, torch.eye(4), rows)


@pytest.mark.parametrize("kind", ["one class", "several"])
def test_the_gradient_is_that_of_the_loss_that_fits_the_labels(kind: str) -> None:
    """Where some row has several classes or none, of each class by itself."""
    generator = torch.Generator().manual_seed(0)
    images, network = torch.rand(4, 1, 6, 6, generator=generator), nn.Sequential(
        nn.Flatten(), nn.Linear(36, 5), nn.Tanh(), nn.Linear(5, 3)
    )  # fmt: skip
    targets = torch.eye(3)[[0, 1, 2, 0]]
    if kind == "several":
        targets = torch.tensor([[1.0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0.4, 0]])
    pixels = images.clone().requires_grad_()
    loss = nn.BCEWithLogitsLoss if kind == "several" else nn.CrossEntropyLoss
    (slope,) = torch.autograd.grad(loss(reduction="sum")(network(pixels), targets), pixels)
    found = InputGradient(network=network)(images, targets)
    torch.testing.assert_close(found, normalized(slope[:, 0].abs()))
    assert (found.amax((1, 2)) > 1.5 / 36).all(), "a row without labels has a map, too"
