import math

import pytest
import torch
from torch import nn

from mixlab.data import ImageSpec
from mixlab.models.networks import CNN, CNN6, ResNet, Timm
from mixlab.models.networks.resnet import SameConv, he_normal_
from mixlab.models.networks.timm import check_takes


def spec(side: int = 32, channels: int = 3, classes: int = 10) -> ImageSpec:
    return ImageSpec(channels, side, side, tuple(str(number) for number in range(classes)))


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


NETWORKS = {
    "cnn": CNN,
    "cnn6": CNN6,
    "resnet20": ResNet,
    "resnet10t": lambda data: Timm(data, name="resnet10t"),
    "vit": lambda data: Timm(data, name="test_vit", patch_size=4),
}


def test_the_sizes_of_the_published_networks():
    assert count(CNN(spec(28, 1))) == 18_762
    assert count(CNN6(spec())) == 1_082_186
    assert count(ResNet(spec())) == 273_066


SIDES = [  # of vit a whole number of patches
    (name, side) for name in NETWORKS for side in (28, 32, 45) if name != "vit" or side % 4 == 0
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("name", "side"), SIDES)
def test_every_network_takes_every_data_set(name, side, channels):
    network = NETWORKS[name](spec(side, channels, classes=7)).eval()
    images = torch.rand(3, channels, side, side)
    logits = network(images)
    assert logits.shape == (3, 7) and logits.isfinite().all()
    torch.testing.assert_close(network(images[:1]), logits[:1], rtol=1e-4, atol=1e-4)


def test_images_need_not_be_square():
    wide = ImageSpec(3, 28, 40, ("a", "b"))
    for network in (CNN, CNN6, ResNet):
        assert network(wide)(torch.rand(2, 3, 28, 40)).shape == (2, 2)


@pytest.mark.parametrize("network", [CNN, CNN6])
def test_images_that_are_too_small(network):
    with pytest.raises(ValueError, match="at least 16 x 16 pixels, got 8 x 8; set data.image_size"):
        network(spec(8))


def test_cnn_starts_from_keras_weights():
    for layer in CNN(spec()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            area = layer.weight[0, 0].numel()
            fan_in, fan_out = layer.weight.shape[1] * area, layer.weight.shape[0] * area
            bound = math.sqrt(6 / (fan_in + fan_out))
            assert 0.9 * bound < layer.weight.abs().max() <= bound
            assert layer.bias.count_nonzero() == 0


def test_dropout_acts_in_training_only():
    network, images = CNN(spec(28, 1), dropout=0.5), torch.rand(4, 1, 28, 28)
    assert not torch.equal(network(images), network(images))
    network.eval()
    torch.testing.assert_close(network(images), network(images))


@pytest.mark.parametrize("dropout", [-0.1, 1, 1.5, "0.2", None, True])
def test_dropout_that_makes_no_sense(dropout):
    with pytest.raises(ValueError, match=r"dropout must be a number in \[0, 1\)"):
        CNN(spec(), dropout=dropout)


def test_he_normal_has_its_variance_and_is_cut_off():
    weight = he_normal_(torch.empty(512, 64, 3, 3))
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.01)
    sigma = math.sqrt(2 / (64 * 9)) / 0.87962566
    assert weight.abs().max() <= 2 * sigma * 1.0001


@pytest.mark.parametrize("side", [7, 8, 28, 33])
@pytest.mark.parametrize("kernel", [1, 3])
def test_padding_puts_the_odd_row_below_and_right(side, kernel):
    conv = SameConv(1, 1, kernel, stride=2)
    nn.init.ones_(conv.weight)
    ramp = torch.arange(float(side * side)).view(1, 1, side, side)
    out = conv(ramp)
    assert out.shape[-1] == math.ceil(side / 2)
    # Row i of the output is centered on row 2i (+ 1 for an even side and a kernel of 3).
    start = 0 if kernel == 1 or side % 2 == 0 else -1
    top = max(start, 0)
    expected = ramp[0, 0, top : start + kernel, top : start + kernel].sum()
    torch.testing.assert_close(out[0, 0, 0, 0], expected)


def test_residual_network_in_detail():
    network = ResNet(spec())
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 19 + 2 and all(conv.bias is not None for conv in convolutions)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 19 and {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    shapes = [network.features[:stop](torch.rand(2, 3, 32, 32)).shape[1:] for stop in (6, 9, 12)]
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


@pytest.mark.parametrize("depth", [2, 18, 21, 20.0, "20", None, True])
def test_depths_that_are_none(depth):
    with pytest.raises(ValueError, match=r"depth must be 6n \+ 2"):
        ResNet(spec(), depth=depth)


def test_deeper():
    assert count(ResNet(spec(), depth=32)) > 1.6 * count(ResNet(spec()))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "tf_efficientnet_b0", "test_resnet"])
def test_a_small_stem_keeps_the_resolution(name):
    def largest(small_stem):
        sides = []
        network = Timm(spec(), name=name, small_stem=small_stem).eval()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda *call: sides.append(call[2].shape[-1]))
        network(torch.rand(1, 3, 32, 32))
        return max(sides), sides[0]

    assert largest("auto") == largest(True)
    assert largest(True)[1] == 32 > largest(False)[1]


def test_large_images_keep_the_stem_of_their_model():
    assert Timm(spec(224), name="resnet18").conv1.stride == (2, 2)


def test_a_stem_we_do_not_know():
    with pytest.raises(ValueError, match="small_stem=true knows ResNets.*not test_vit"):
        Timm(spec(), name="test_vit", small_stem=True, patch_size=4)
    with pytest.raises(ValueError, match="small_stem must be true or false, or auto, got 'yes'"):
        Timm(spec(), name="resnet18", small_stem="yes")


def test_unknown_names_get_the_nearest():
    with pytest.raises(ValueError, match="timm has no model 'resnet81'; did you mean .*resnet"):
        Timm(spec(), name="resnet81")
    with pytest.raises(ValueError, match="kwargs does not suit resnet18: .*drop_rte"):
        Timm(spec(), name="resnet18", drop_rte=0.1)


def test_images_that_a_model_cannot_take():
    with pytest.raises(ValueError, match="vgg11_bn cannot take images of 28 x 28.*image_size=32"):
        Timm(spec(28), name="vgg11_bn")
    with pytest.raises(
        ValueError, match=r"net cannot take images of 32 .* try data.image_size=224,"
    ):
        check_takes(nn.Linear(1, 1), spec(32), "net")
    with pytest.raises(ValueError, match="in_chans=3, but the images have 1 channel; leave it out"):
        Timm(spec(channels=1), name="resnet18", in_chans=3)


def test_a_fresh_model_is_in_training_mode_and_has_seen_nothing():
    network = Timm(spec(), name="resnet18")
    assert network.training and all(part.training for part in network.modules())
    assert network.bn1.num_batches_tracked == 0 and not network.bn1.running_mean.any()
