"""ActivationMap: where a network's feature map is strong, or speaks for the class.

The norm of the features is AttentiveMix's (https://arxiv.org/abs/2003.13048). Of the class it is
Grad-CAM, Selvaraju et al. 2016, https://arxiv.org/abs/1610.02391, eqs. 1-2, but less its minimum
instead of its negative part; for a network whose features are averaged before one dense layer that
is the class activation map of Zhou et al. 2015, https://arxiv.org/abs/1512.04150.
"""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlab.errors import UserError
from mixlab.mixing.saliency.input_gradient import check_same_classes
from mixlab.mixing.saliency.maps import given_network, normalized
from mixlab.mixing.undisturbed import undisturbed

OF_TOKENS = ("cls_token", "class_token", "pos_embed", "pos_embedding")  # of timm and torchvision


@dataclass(frozen=True)
class ActivationMap:
    """Enlarged from the feature map to the picture. Costs a pass forward.

    Attributes:
        layer: the dotted name of the module whose output (R, F, h, w) is looked at, or (R, h, w, F)
            of a network of timm that says so; None for the last that has such an output of more
            than a pixel. A vision transformer has none but its patches, and is refused then.
        of_class: weigh the features by how the target's logit changes with them, instead of taking
            their norm; costs a part of a pass backward.
        network: images to logits, or anything where `of_class` is false; None for the one being
            trained.
    """

    layer: str | None = None
    of_class: bool = False
    network: nn.Module | None = field(default=None, repr=False, compare=False)

    def bind(self, network: nn.Module) -> "ActivationMap":
        """A copy that looks at `network`, unless it has one of its own.

        Raises:
            UserError: the network has no such layer, or none is named and it is a transformer of
                tokens.
        """
        if self.network is None:
            named_layer(network, self.layer)
        if self.layer is None:
            check_has_maps(self.network or network)
        return self if self.network is not None else replace(self, network=network)

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """See `Saliency`; raises UserError without a network, a layer or a feature map."""
        network = given_network(self, self.network)
        with (
            undisturbed(network, images) as pixels,
            watched_features(network, self.layer) as found,
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


def check_has_maps(network: nn.Module) -> None:
    """Raise UserError for a network of tokens, known by a position for each or a class token.

    What of it has the axes of feature maps is its patches, or the parts of its attention.
    """
    names = (name.rpartition(".") for name, _ in network.named_parameters())
    of_tokens = [start for start, _, name in names if name in OF_TOKENS]
    if any(not start.endswith("pool") for start in of_tokens):  # some pool maps by attention
        raise UserError(
            f"{type(network).__name__} is a transformer, whose tokens are no feature map; name a "
            "layer in saliency.layer, give saliency.network one of convolutions, or use "
            "mixing=transmix"
        )


def _norm(features: Tensor) -> Tensor:
    """(R, h, w) of features (R, F, ..., h, w)."""
    return torch.linalg.vector_norm(features.float().flatten(1, -3), dim=1)


def _of_class(features: Tensor, logits: Tensor, targets: Tensor, network: nn.Module) -> Tensor:
    """(R, h, w): features weighed by the mean slope of the targets' logits, from zero up."""
    check_same_classes(logits, targets)
    (slope,) = torch.autograd.grad((logits * targets).sum(), features)
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
    """The outputs of a network's layers that are feature maps: the last, and the last of several
    pixels. They are as the network gives them, see `features_first`.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.last: Tensor | None = None
        self.large: Tensor | None = None

    def keep(self, module: nn.Module, given: object, output: object) -> None:
        """A forward hook."""
        if isinstance(output, Tensor) and output.ndim >= 4:
            self.last = output
            places = features_first(output, self.network).shape[-2:].numel()
            self.large = output if places > 1 else self.large

    def best(self) -> Tensor:
        """The last of several pixels, or else the last; raises UserError where there was none."""
        found = self.last if self.large is None else self.large
        if found is None:
            raise UserError(
                f"{type(self.network).__name__} has no output of rows x features x height x width; "
                "name a convolution in saliency.layer"
            )
        return found


@contextmanager
def watched_features(network: nn.Module, layer: str | None) -> Iterator[FoundFeatures]:
    """Within, the outputs of the layer, or of all modules without children, are kept."""
    found = FoundFeatures(network)
    leaves = [module for module in network.modules() if not any(module.children())]
    watched = leaves if layer is None else [named_layer(network, layer)]
    hooks = [module.register_forward_hook(found.keep) for module in watched]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def named_layer(network: nn.Module, layer: str | None) -> nn.Module:
    """The module of that name; raises UserError, with the nearest name, where there is none."""
    names = dict(network.named_modules())
    if layer is None or layer in names:
        return names[layer or ""]
    near = difflib.get_close_matches(layer, names, n=1, cutoff=0.0)
    hint = f"; did you mean {near[0]}?" if near and near[0] else ""
    raise UserError(f"saliency.layer={layer} is no layer of {type(network).__name__}{hint}")
