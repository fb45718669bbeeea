"""Any network of the timm library by its name, with a gentler start for small images."""

from typing import Any

import torch
from torch import nn

from mixlab.checks import FREEZE, SMALL_STEM
from mixlab.data.spec import ImageSpec
from mixlab.errors import UserError, counted
from mixlab.models.networks.pretrained import check_name, create_pretrained, freeze_backbone

SMALL_PIXELS = 64  # images up to this side get the small stem when it is left to us


def Timm(
    spec: ImageSpec,
    *,
    name: str,
    pretrained: bool | str = False,
    freeze: str | None = None,
    small_stem: bool | str = "auto",
    **kwargs: Any,
) -> nn.Module:
    """Build a timm model.

    Args:
        spec: of the data.
        name: as timm knows it: `resnet18`, `densenet121`, `vit_tiny_patch16_224`, ...
        pretrained: True for timm's weights, or the path of a file of weights. A classifier for
            another number of classes is left out, and the stem is adapted to gray images.
        freeze: `backbone` trains the classifier alone.
        small_stem: whether the stem keeps the resolution, where made for 224 pixels it would
            divide it by 4; `auto` does so for images of at most 64 pixels if it knows how, unless
            the weights are pretrained: they are those of the stem as it is.
        kwargs: of `timm.create_model`.

    Raises:
        UserError: for an unknown name, images the model cannot take, a stem that cannot be changed,
            or weights that are not there or do not fit.
    """
    import timm

    SMALL_STEM.check("model.network.small_stem", small_stem)
    FREEZE.check("model.freeze", freeze)
    check_name(name)
    pretrained = kwargs.pop("pretrained", False) or pretrained
    if pretrained and small_stem is True:
        raise UserError(
            f"small_stem=true would replace the pretrained stem of {name}; leave it out and give "
            "the images a size that the stem was made for, as data.image_size=224"
        )
    small = max(spec.height, spec.width) <= SMALL_PIXELS if small_stem == "auto" else small_stem
    small = small and not pretrained
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        kwargs = {"img_size": (spec.height, spec.width), **kwargs}
    kwargs = {"num_classes": spec.num_classes, "in_chans": spec.channels, **kwargs}
    if kwargs["in_chans"] != spec.channels:
        raise UserError(
            f"model.network.kwargs has in_chans={kwargs['in_chans']}, but the images have "
            f"{counted(spec.channels, 'channel')}; leave it out, for the network is told the number"
        )
    try:
        model = create_pretrained(name, pretrained, **kwargs)
    except TypeError as error:
        raise UserError(f"model.network.kwargs does not suit {name}: {error}") from error
    if small and not keep_resolution(model) and small_stem is True:
        raise UserError(
            f"small_stem=true knows ResNets, DenseNets and EfficientNets, not {name}; "
            "use model.network.small_stem=auto, and model.network.kwargs for its own options"
        )
    check_takes(model, spec, name)
    if freeze == "backbone":
        freeze_backbone(model)
    return model


def check_takes(model: nn.Module, spec: ImageSpec, name: str) -> None:
    """Raise ValueError if the model cannot digest an image of this size."""
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, spec.channels, spec.height, spec.width))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        larger = "32, or 224" if max(spec.height, spec.width) < 32 else "224"
        raise UserError(
            f"{name} cannot take images of {spec.height} x {spec.width} pixels ({reason}); try "
            f"data.image_size={larger}, for which most of timm's models are made"
        ) from error
    model.train()


def keep_resolution(model: Any) -> bool:
    """Make the stem work at full resolution, in place; False if it is of no known kind."""
    features = getattr(model, "features", None)
    if is_stem(getattr(model, "conv1", None)) and hasattr(model, "maxpool"):  # ResNet and kin
        model.conv1 = gentle(model.conv1)
        model.maxpool = nn.Identity()
    elif is_stem(getattr(features, "conv0", None)) and hasattr(features, "pool0"):  # DenseNet
        features.conv0 = gentle(features.conv0)  # pyright: ignore
        features.pool0 = nn.Identity()  # pyright: ignore
    elif is_stem(getattr(model, "conv_stem", None)):  # EfficientNet, MobileNet
        model.conv_stem = gentle(model.conv_stem)
    else:
        return False
    return True


def is_stem(layer: Any) -> bool:
    """A convolution, or a row of layers that starts with one."""
    return isinstance(layer[0] if isinstance(layer, nn.Sequential) else layer, nn.Conv2d)


def gentle(stem: Any) -> nn.Module:
    """The stem with stride 1, its first convolution being 3 x 3 at most."""
    if isinstance(stem, nn.Sequential):
        return nn.Sequential(gentle(stem[0]), *stem[1:])
    if max(stem.kernel_size) > 3:
        return three_by_three(stem)
    stem.stride = (1, 1)
    return stem


def three_by_three(conv: nn.Conv2d) -> nn.Conv2d:
    """A 3 x 3 convolution of stride 1 in place of a larger one."""
    new = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1, bias=conv.bias is not None)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    return new
