"""ActivationMap: where a network's feature map is strong, or speaks for the class.

The norm of the features is AttentiveMix's (https://arxiv.org/abs/2003.13048). Of the class it is
Grad-CAM, Selvaraju et al. 2016, https://arxiv.org/abs/1610.02391, eqs. 1-2, but less its minimum
instead of its negative part; for a network whose features are averaged before one dense layer that
is the class activation map of Zhou et al. 2015, https://arxiv.org/abs/1512.04150.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mixlab.checks import FLAG, KEY, check_fields, did_you_mean
from mixlab.errors import UserError
from mixlab.mixing.saliency.input_gradient import check_same_classes
from mixlab.mixing.saliency.maps import given_network, normalized
from mixlab.mixing.undisturbed import recordable, undisturbed

EVENS_OUT = (nn.LayerNorm, nn.RMSNorm)  # which give each pixel's features nearly the same norm


@dataclass(frozen=True)
class ActivationMap:
    """Enlarged from the feature map to the picture. Costs a pass forward.

    Attributes:
        layer: the dotted name of the module whose output (R, F, h, w) is looked at, or (R, h, w, F)
            of a network of timm that says so; None for the last that has such an output of more
            than a pixel, see `FoundFeatures`. A vision transformer has none: name another network.
            Where a stage ends with a normalization of each pixel (PVTv2, Swin of torchvision),
            norms are all alike: name a layer before it, or set `of_class`.
        of_class: weigh the features by how the target's logit changes with them, instead of taking
            their norm; costs a part of a pass backward.
        network: images to logits, or anything where `of_class` is false; None for the one being
            trained.
    """

    layer: str | int | None = None
    of_class: bool = False
    network: nn.Module | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_fields(self, layer=KEY.or_(None), of_class=FLAG)

    def bind(self, network: nn.Module) -> "ActivationMap":
        """A copy that looks at `network`, unless it has one of its own.

        Raises:
            UserError: the network has no such layer.
        """
        if self.network is None:
            named_layer(network, self.layer)
        return self if self.network is not None else replace(self, network=network)

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """See `Saliency`; raises UserError without a network, a layer or a feature map."""
        network = given_network(self, self.network)
        with (
            undisturbed(network, images) as pixels,
            watched_features(network, self.layer, () if self.of_class else EVENS_OUT) as found,
        ):
            pixels.requires_grad_(self.of_class)  # or a frozen network would have no graph
            with torch.set_grad_enabled(self.of_class):
                logits = network(pixels)
            features = found.best()
            if self.of_class:
                maps = _of_class(features, logits, targets, network)
            else:
                maps = _norm(features_first(features, network))
        enlarged = F.interpolate(maps.float()[:, None], images.shape[-2:], mode="bilinear")
        return normalized(enlarged[:, 0])


def _norm(features: Tensor) -> Tensor:
    """(R, h, w) of features (R, F, ..., h, w)."""
    return torch.linalg.vector_norm(features.float().flatten(1, -3), dim=1)


def _of_class(features: Tensor, logits: Tensor, targets: Tensor, network: nn.Module) -> Tensor:
    """(R, h, w): features weighed by the mean slope of the targets' logits, from zero up."""
    check_same_classes(logits, targets)
    (slope,) = torch.autograd.grad((logits * recordable(targets)).sum(), features)
    slope, features = (features_first(each, network) for each in (slope, features.detach()))
    weight = slope.flatten(2).mean(2)[..., None, None]
    over_time = features.unflatten(2, (1, -1)).flatten(2, -3).mean(2)
    maps = (weight * over_time).sum(1)
    return maps - maps.amin((1, 2), keepdim=True)


def features_first(features: Tensor, network: object) -> Tensor:
    """What a layer of `network` gives as (R, F, ..., h, w); some of timm give (R, h, w, F)."""
    last = getattr(network, "output_fmt", "NCHW") == "NHWC" and features.ndim == 4
    return features.movedim(3, 1) if last else features


class FoundFeatures:
    """The outputs of a network's modules that are feature maps: the last, and the last of several
    pixels. They are as the network gives them, see `features_first`.

    What a module makes on its way to tokens (R, N, F) is none, as the keys of an attention
    (R, heads, N, F) are not. Outputs of modules of the kinds `but` do not count.
    """

    def __init__(self, network: nn.Module, but: tuple[type[nn.Module], ...] = ()) -> None:
        self.network, self.but = network, but
        self.last: Tensor | None = None
        self.large: Tensor | None = None
        self._before: list[tuple[Tensor | None, Tensor | None]] = []  # what a module may undo

    def begin(self, module: nn.Module, given: object) -> None:
        """A forward hook, before."""
        self._before.append((self.last, self.large))

    def keep(self, module: nn.Module, given: object, output: object) -> None:
        """A forward hook, after."""
        before = self._before.pop()
        if not isinstance(output, Tensor) or isinstance(module, self.but):
            return
        if output.ndim == 3:
            self.last, self.large = before
        elif output.ndim >= 4:
            self.last = output
            places = features_first(output, self.network).shape[-2:].numel()
            self.large = output if places > 1 else self.large

    def best(self) -> Tensor:
        """The last of several pixels, or else the last; raises UserError where there was none."""
        found = self.last if self.large is None else self.large
        if found is None:
            has_token = getattr(self.network, "cls_token", None) is not None
            by_token = has_token and getattr(self.network, "global_pool", None) == "token"
            other = "mixing=transmix" if by_token else "mixing=saliencymix, which needs no network"
            raise UserError(
                f"{type(self.network).__name__} has no output of rows x features x height x width; "
                "name a convolution in saliency.layer, give saliency.network one that has, or use "
                + other
            )
        return found


@contextmanager
def watched_features(
    network: nn.Module, layer: str | int | None, but: tuple[type[nn.Module], ...] = ()
) -> Iterator[FoundFeatures]:
    """Within, the outputs of the layer are kept, or of all modules but those of the kinds `but`."""
    found = FoundFeatures(network, but if layer is None else ())
    watched = network.modules() if layer is None else [named_layer(network, layer)]
    hooks: list[RemovableHandle] = []
    for module in watched:
        hooks.append(module.register_forward_pre_hook(found.begin))
        hooks.append(module.register_forward_hook(found.keep))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def named_layer(network: nn.Module, layer: str | int | None) -> nn.Module:
    """The module of that name; raises UserError, with the nearest name, where there is none."""
    names = dict(network.named_modules())
    name = "" if layer is None else str(layer)
    if name in names:
        return names[name]
    known = [each for each in names if each]
    hint = did_you_mean(name, known, f"it has {', '.join(known[:8])}")
    raise UserError(f"saliency.layer={layer} is no layer of {type(network).__name__}{hint}")
