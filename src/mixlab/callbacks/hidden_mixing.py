"""Mixing inside the network: the features of a layer are mixed in place of the images."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch import Tensor, nn

from mixlab.callbacks.dry_forward import layer_outputs
from mixlab.callbacks.forward_mixing import ForwardMixing
from mixlab.callbacks.layers import INPUT, check_not_compiled, chosen_layers, forward_of, layer_of
from mixlab.checks import LAYERS, check_fields
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, Blend, Method, MixedBatch, Purpose, stream
from mixlab.mixing.given_maps import looker_in
from mixlab.mixing.methods.method import NoPicture
from mixlab.mixing.partners import BEYOND_THE_BATCH
from mixlab.mixing.sample import Sampled
from mixlab.mixing.strength import mixed_share

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ForFeatures:
    """A method that draws for features of another shape than the images; itself a method.

    Attributes:
        method: what draws.
        shape: of the features of one row.
        layer: that they come from.
    """

    method: Method
    shape: Shape
    layer: str

    @property
    def num_partners(self) -> int:
        return self.method.num_partners

    @property
    def label_differs(self) -> str | None:
        return self.method.label_differs

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError if it needs height and width, and there are none."""
        features = images.new_empty(()).expand(len(images), *self.shape)  # takes no memory
        with naming(self.layer, pictures=images.ndim > 3):
            return self.method(features, targets, rng, partners)


@contextmanager
def naming(layer: str, *, pictures: bool) -> Iterator[None]:
    """Say of which layer the features are that have no height and width."""
    try:
        yield
    except NoPicture as error:
        remedy = "mixing.layers=[input], or " if pictures else ""
        raise UserError(
            f"{str(error).partition(';')[0]}, the features of layer {layer}; use "
            f"{remedy}mixing=manifold_mixup"
        ) from error


class HiddenMixingCallback(ForwardMixing):
    """Mix each training batch at one layer, drawn from the batch's address.

    Verma et al., Manifold Mixup: Better Representations by Interpolating Hidden States, 2019,
    https://arxiv.org/abs/1806.05236, section 2: a layer is drawn for each batch, its features are
    mixed, and so are the labels.

    The labels are mixed at once; the images stay as they are, unless the layer is `input`. A hook
    mixes the features in the forward pass of this training step and in no other. The shapes of the
    features come from one forward pass in eval mode, the first time that images of a size are seen.

    Args:
        method: what draws a `Blend` for the features, such as `Mixup(alpha=2.0)`.
        layers: `input`, `last`, or names of modules of the network (the attribute `network` of the
            LightningModule, or the module itself); None: the input and the stages that the network
            names.
        options: of `MixingCallback`.

    Raises:
        UserError: there is no such layer, partners come from beyond the batch and have no features,
            the method looks at what it mixes, the network is compiled, or the targets are masks.
    """

    left_undone = "the labels were mixed and the features were not"

    def __init__(
        self, method: Method, *, layers: Sequence[str | int] | None = None, **options: Any
    ) -> None:
        super().__init__(method, **options)
        self.layers = layers
        check_fields(self, layers=LAYERS)
        self.names: list[str] = []  # of the layers, once there is a network
        self._module: nn.Module | None = None
        self._precision: Any = None
        self._shapes: dict[Shape, dict[str, Shape]] = {}  # of features, by those of images

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self.attach(pl_module, trainer.precision_plugin)

    def attach(self, module: nn.Module, precision: Any = None) -> None:
        """Choose the layers of a module's network; `precision` is Lightning's plugin."""
        names = chosen_layers(self.layers, module)
        if names != [INPUT]:
            check_not_compiled(module, "hidden mixing")
            if self.policy.partners in BEYOND_THE_BATCH:
                raise UserError(
                    f"mixing.partners={self.policy.partners} takes partners from beyond the batch, "
                    "which have no features; use permutation, or mixing.layers=[input]"
                )
            if name := looker_in(self.method):
                raise UserError(
                    f"{name} looks at what it mixes, and it draws before there are features; use "
                    "mixing.layers=[input], or mixing=manifold_mixup"
                )
        self.names, self._module, self._precision, self._shapes = names, module, precision, {}

    def layer_at(self, address: Address) -> str:
        """The layer at which a batch is mixed; independent of everything else that is drawn."""
        if not self.names:
            raise UserError(
                f"{type(self.method).__name__} mixes features of a network, and there is none yet; "
                "call attach(module) first"
            )
        draws = stream(address, Purpose.LAYER).integers(len(self.names), size=self.position + 1)
        return self.names[draws[self.position]]

    def mix(self, batch: Batch) -> MixedBatch:
        """As `MixingCallback.mix`; at a hidden layer only the targets of the new batch are mixed.

        The blend that is kept then has the shares of the labels as its mask.
        """
        layer = INPUT if batch.address is None else self.layer_at(batch.address)
        if self.names and not self.strength_is_set:
            self.shapes(batch.images)
        if layer == INPUT:
            return super().mix(batch)
        if batch.targets.ndim > 2:
            raise UserError(
                "a network that says the class of each pixel sees the unmixed image beside a mixed "
                "layer; use mixing.layers=[input]"
            )
        shape = self.shapes(batch.images)[layer]
        method = ForFeatures(self.method, shape, layer)
        blend = self.draw(batch, batch.images, batch.targets, method=method)
        after = replace(batch, targets=blend.targets(batch.targets), mixed=True)
        self.seen = MixedBatch(batch, after, Blend(blend.source, blend.share, blend.share))
        self._expect(layer, blend, shape)
        return self.seen

    def reach(self, picture: Sequence[int], batch_rows: int) -> None:
        """As `MixingCallback.reach`, once the shapes of the features are known."""
        if tuple(picture) in self._shapes:
            super().reach(picture, batch_rows)

    def share_at(self, picture: Sequence[int], sampled: Sampled | None, itself: float) -> float:
        """The mean over the layers, each of which mixes as many batches as any other."""
        shapes, shares = {INPUT: tuple(picture)} | self._shapes[tuple(picture)], []
        for name in self.names:
            with naming(name, pictures=len(picture) > 2):
                looks = sampled if name == INPUT else None
                shares.append(mixed_share(self.whole_method, shapes[name], itself, looks))
        return sum(shares) / len(shares)

    def shapes(self, images: Tensor) -> dict[str, Shape]:
        """The shape of a row's features at each layer, for images of this size."""
        size = tuple(images.shape[1:])
        if size not in self._shapes:
            assert self._module is not None
            layers = {n: layer_of(self._module, n) for n in self.names if n != INPUT}
            two = images[:1].repeat(2, *[1] * len(size))  # rows can be told from other dimensions
            outputs = layer_outputs(forward_of(self._module), layers, two, self._precision)
            self._shapes[size] = {name: tuple(each.shape[1:]) for name, each in outputs.items()}
        return self._shapes[size]

    def _expect(self, layer: str, blend: Blend, shape: Shape) -> None:
        """Let the next forward pass mix the features of a layer."""

        def mixed(features: Tensor) -> Tensor:
            if features.shape != (blend.num_rows, *shape):
                expected, got = (blend.num_rows, *shape), tuple(features.shape)
                raise UserError(f"layer {layer} gives {got} in training, not {expected}")
            return blend.images(features)

        assert self._module is not None
        self.expect(layer_of(self._module, layer), mixed, layer)
