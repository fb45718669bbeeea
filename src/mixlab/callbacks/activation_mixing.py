"""Labels by activation: each source counts by how active the network is where it is seen."""

import warnings
from math import gcd
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlab.callbacks.dry_forward import layer_outputs
from mixlab.callbacks.layers import (
    INPUT,
    LAST_STAGE,
    check_not_compiled,
    chosen_layers,
    forward_of,
    layer_of,
    network_of,
)
from mixlab.callbacks.mixing import rows_with_guests
from mixlab.callbacks.network_labels import NetworkLabels, weighed_shares
from mixlab.checks import KEY, check_fields
from mixlab.errors import Caution, UserError
from mixlab.mixing import Batch, Blend, Method, MixedBatch
from mixlab.mixing.saliency.activation_map import features_first


class ActivationMixingCallback(NetworkLabels):
    """Weigh the labels of mixed images by activation maps of their sources.

    Liu et al., TokenMix, 2022, https://arxiv.org/abs/2207.08409, section 3: the share of a source
    is the sum of its activation map over the part of it that is in the mixed image. Here the maps
    are the lengths of the feature vectors of one layer, of the network being trained as it is
    before the step, in eval mode; the paper takes the maps of a trained teacher. Shares are
    normalized to sum to one. It costs one more forward pass a step, without gradients.

    Args:
        method: such as `TokenMix(alpha=1.0)`.
        layer: `last` for the last of the network's own stages, or the name of a module.
        options: of `MixingCallback`.

    Raises:
        UserError: there is no such layer, or it has no map of features.
    """

    def __init__(self, method: Method, *, layer: str | int = "last", **options: Any) -> None:
        super().__init__(method, **options)
        self.layer = layer
        check_fields(self, layer=KEY)
        self._module: nn.Module | None = None
        self._name, self._precision = "", None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self.attach(pl_module, trainer.precision_plugin)

    def attach(self, module: nn.Module, precision: Any = None) -> None:
        """Choose the layer of a module's network; `precision` is Lightning's plugin."""
        check_not_compiled(module, "mixing by activation")
        (self._name,) = chosen_layers([self.layer], module, (LAST_STAGE,))
        if self._name == INPUT:
            raise UserError("mixing.layer=input has no activations; use last, or name a layer")
        self._module, self._precision = module, precision
        warn_of_another_grid(self.method, network_of(module))

    def mix(self, batch: Batch) -> MixedBatch:
        """As `MixingCallback.mix`, with labels by activation."""
        mixed = super().mix(batch)
        if self._module is not None:
            images, _ = rows_with_guests(mixed.before)
            size = (images.shape[-2], images.shape[-1])
            weight = of_sources(mixed.blend, self.maps(images), size)
            self.relabel(mixed, weighed_shares(mixed.blend, weight, size))
        return mixed

    @torch.no_grad()
    def maps(self, images: Tensor) -> Tensor:
        """(R, h, w) float32 activation maps of images (R, C, H, W), each summing to one."""
        module = self._module
        assert module is not None
        layers = {self._name: layer_of(module, self._name)}
        output = layer_outputs(forward_of(module), layers, images, self._precision)[self._name]
        lengths = feature_map(network_of(module), output, images).float().norm(dim=1) + 1e-12
        return lengths / lengths.sum((1, 2), keepdim=True)


def of_sources(blend: Blend, maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, K, h, w): maps (R, h, w) of the sources, as they lie in the mixed images of `size`.

    Of a source that is resized or moved its map is, too. What is made smaller weighs more, so that
    a whole picture keeps its sum, however small it is pasted.
    """
    if blend.unmoved:
        source = blend.source.to(maps.device, non_blocking=True)
        return maps.index_select(0, source.flatten()).view(*source.shape, *maps.shape[1:])
    large = F.interpolate(maps[:, None], size, mode="nearest-exact")
    views = [blend.view(large, k, slice(None)) for k in range(blend.num_sources)]
    weight = torch.cat(views, 1)
    if blend.warp is None:
        return weight
    denser = torch.linalg.det(blend.warp[..., :2]).abs()[..., None, None]
    return weight * denser.to(weight.device, non_blocking=True)


def warn_of_another_grid(method: Any, network: Any) -> None:
    """Say so if the cells of a method such as TokenMix cut through the patches of the network.

    Cells of several whole patches do not.
    """
    grid, own = getattr(method, "grid", None), getattr(network, "patch_embed", None)
    patches = getattr(own, "grid_size", None)
    if grid is not None and patches is not None and any(side % grid for side in patches):
        warnings.warn(
            f"mixing.method.grid={grid}, but {type(network).__name__} has {patches[0]} x "
            f"{patches[1]} patches, so masks cut through them; mixing.method.grid={gcd(*patches)} "
            "keeps them whole",
            category=Caution,
            stacklevel=2,
        )


def feature_map(network: Any, output: Tensor, images: Tensor) -> Tensor:
    """What a layer gives as (R, C, h, w), also of tokens (R, N, C) and of timm's channels-last.

    Raises:
        UserError: it has no height and width.
    """
    if output.ndim == 4:
        return features_first(output, network)
    tokens = output[:, getattr(network, "num_prefix_tokens", 0) :]
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if output.ndim == 3 and patch is not None:
        grid = (images.shape[-2] // patch[0], images.shape[-1] // patch[1])
        if grid[0] * grid[1] == tokens.shape[1]:
            return tokens.transpose(1, 2).unflatten(2, grid)
    shape = tuple(output.shape)
    raise UserError(
        f"mixing.layer gives {shape}, which has no height and width to weigh images by; choose a "
        "layer with a map of features"
    )
