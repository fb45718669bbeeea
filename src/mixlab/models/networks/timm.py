"""Any network of the timm library by its name, with a gentler start for small images."""

import difflib
from typing import Any

from torch import nn

from mixlab.data.spec import ImageSpec

SMALL_PIXELS = 64  # images up to this side get the small stem when it is left to us


def Timm(  # noqa: N802 (it is a network to its callers)
    spec: ImageSpec, *, name: str, small_stem: bool | str = "auto", **kwargs: Any
) -> nn.Module:
    """Build a timm model, without pretrained weights unless `pretrained` is among `kwargs`.

    Args:
        spec: of the data.
        name: as timm knows it: `resnet18`, `densenet121`, `vit_tiny_patch16_224`, ...
        small_stem: whether the stem keeps the resolution, where made for 224 pixels it would
            divide it by 4; `auto` does so for images of at most 64 pixels if it knows how.
        kwargs: of `timm.create_model`.

    Raises:
        ValueError: for an unknown name, or a stem that we cannot change though we must.
    """
    import timm

    if small_stem not in (True, False, "auto"):
        raise ValueError(f"model.small_stem must be true, false or auto, got {small_stem!r}")
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.4)
        raise ValueError(
            f"timm has no model {name!r}" + (f"; did you mean {', '.join(near)}?" if near else "")
        )
    small = max(spec.height, spec.width) <= SMALL_PIXELS if small_stem == "auto" else small_stem
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        kwargs = {"img_size": (spec.height, spec.width), **kwargs}
    model = timm.create_model(
        name, **{"num_classes": spec.num_classes, "in_chans": spec.channels, **kwargs}
    )
    if small and not keep_resolution(model) and small_stem is True:
        raise ValueError(
            f"small_stem=true knows ResNets, DenseNets and EfficientNets, not {name}; "
            "use model.network.small_stem=auto, and model.network.kwargs for its own options"
        )
    return model


def keep_resolution(model: Any) -> bool:
    """Make the stem work at full resolution, in place; False if it is of no known kind."""
    features = getattr(model, "features", None)
    if isinstance(getattr(model, "conv1", None), nn.Conv2d) and hasattr(model, "maxpool"):
        model.conv1 = three_by_three(model.conv1)
        model.maxpool = nn.Identity()
    elif isinstance(getattr(features, "conv0", None), nn.Conv2d):
        features.conv0 = three_by_three(features.conv0)  # pyright: ignore
        features.pool0 = nn.Identity()  # pyright: ignore
    elif isinstance(getattr(model, "conv_stem", None), nn.Conv2d):
        model.conv_stem.stride = (1, 1)
    else:
        return False
    return True


def three_by_three(conv: nn.Conv2d) -> nn.Conv2d:
    """A 3 x 3 convolution of stride 1 in place of a larger one."""
    new = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1, bias=conv.bias is not None)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    return new
