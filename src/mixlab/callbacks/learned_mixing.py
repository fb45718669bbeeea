"""Learned mixers: masks of a network that is trained beside the classifier."""

from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor, nn

from mixlab.callbacks.layers import (
    check_not_compiled,
    checked,
    classifier_in,
    feature_layers,
    network_of,
    some,
)
from mixlab.callbacks.mixing import MixingCallback
from mixlab.callbacks.mixing_checks import check_has_pictures
from mixlab.checks import BELOW_1, FRACTION, KEY, POSITIVE, check_fields, number
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, Method, MixedBatch, Purpose, bind, stream, torch_seed
from mixlab.mixing.mask_learner import MaskLearner, as_it_is
from mixlab.mixing.mask_network import MaskNetwork
from mixlab.mixing.methods.automix import AutoMix
from mixlab.mixing.methods.method import own_shares


class LearnedMixingCallback(MixingCallback):
    """Mix with `AutoMix`, and train its mix block in each training step.

    The step first lets the momentum copy follow the classifier, then mixes the batch with the block
    as it is, then trains the block on other pairs and shares of the same images, drawn from the
    batch's address, as the paper does. All of this is in the checkpoint and none of it in the
    LightningModule, so the classifier, its optimizer and its saved weights are as without mixing.

    The copy computes in 32 bits whatever the precision. With accumulated gradients the block takes
    a step for each batch, and the copy follows when the classifier has taken one. With several
    processes the block's gradient is the mean over all rows, by one sum over processes.

    Args:
        method: `AutoMix(alpha=2.0)`, or a `OneOf` with it.
        layer: the name of a module of the network that gives a feature map, `last` for the last of
            its own stages, or None for the last but one.
        momentum, learning_rate, mask_weight, mask_margin: see `MaskLearner`.
        options: of `MixingCallback`.

    Raises:
        UserError: there is no AutoMix in the method, no such layer or feature map, several labels
            an image, masks as targets, or weights that are sharded over processes.
    """

    def __init__(
        self,
        method: Method,
        *,
        layer: str | int | None = None,
        momentum: float = 0.999,
        learning_rate: float = 0.01,
        mask_weight: float = 1.0,
        mask_margin: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(method, **options)
        self.layer, self.momentum, self.learning_rate = layer, momentum, learning_rate
        self.mask_weight, self.mask_margin = mask_weight, mask_margin
        check_fields(
            self,
            layer=KEY.or_(None),
            momentum=BELOW_1,
            learning_rate=POSITIVE,
            mask_weight=number(0),
            mask_margin=FRACTION,
        )
        self.learned = automix_in(method)
        self.learner: MaskLearner | None = None  # from the first batch of a training on
        self._module: nn.Module | None = None
        self._trainer: Any = None
        self._followed = 0  # the optimizer's step that the copy has seen
        self._kept: dict[str, Any] | None = None  # of a checkpoint

    def learn(self, data: Any, world_size: int) -> None:
        """See `MixingCallback`."""
        check_has_pictures(self.method, data, world_size)
        super().learn(data, world_size)
        if data.multi_label or data.has_masks:
            what = "masks" if data.has_masks else "several labels an image"
            raise UserError(
                f"a mix block learns from one class an image, and these data have {what}; use "
                "mixing=cutmix"
            )

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self.learner, self._kept = None, None
            map_layer(pl_module, self.layer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._module, self._trainer = pl_module, trainer

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().teardown(trainer, pl_module, stage)
        self._module, self._trainer = None, None

    def mix(self, batch: Batch) -> MixedBatch:
        """As `MixingCallback.mix`; in a training the block then takes a step."""
        if self._module is None or batch.address is None:
            return super().mix(batch)
        if batch.targets.ndim > 2:
            raise UserError(
                "a mix block learns from one class an image, and masks have one a pixel; use "
                "mixing=cutmix"
            )
        if self.learner is None:
            self._begin(self._module, batch.images, batch.address.seed)
        learner = self.learner
        assert learner is not None
        if self._trainer.global_step > self._followed:
            learner.follow(classifier_in(self._module))
            self._followed = self._trainer.global_step
        looked = learner.network.knowing(batch.images)
        self.bound = bind(self.method, looked)
        mixed = super().mix(batch)
        self._train(learner, batch, batch.address, looked)
        self.bound = bind(self.method, learner.network)  # or it would keep the batch
        return mixed

    def _begin(self, module: nn.Module, images: Tensor, seed: int) -> None:
        """Make the learner, as the checkpoint left it if there is one."""
        check_not_compiled_apart(module)
        several = self._trainer.world_size > 1
        self.learner = MaskLearner(
            classifier_in(module),
            map_layer(module, self.layer),
            images,
            torch.Generator().manual_seed(torch_seed(Address(seed), Purpose.MIX_BLOCK)),
            momentum=self.momentum,
            learning_rate=self.learning_rate,
            mask_weight=self.mask_weight,
            mask_margin=self.mask_margin,
            reduced=summed if several else as_it_is,
            shared=of_the_first if several else as_it_is,
        )
        self._followed = self._trainer.global_step
        if self._kept is not None:
            self.learner.load(self._kept["learner"])
            self._followed, self._kept = self._kept["followed"], None

    def _train(
        self, learner: MaskLearner, batch: Batch, address: Address, looked: MaskNetwork
    ) -> None:
        """A step of the block on pairs and shares that nothing else was drawn with."""
        rng = stream(address, Purpose.MIX_BLOCK)
        method: Any = bind(self.policy.scheduled(self.learned, self.progress(address)), looked)
        rows = len(batch.images)
        for _ in range(self.position + 1):
            partner = rng.permutation(rows)
            own = own_shares(method.alpha, rng, rows if method.per_row else 1)
        counted = 0 if batch.is_repeat else rows
        learner.learn(method, batch.images, batch.targets, partner, own, rows=counted)  # pyright: ignore

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self.learner is not None:
            state = {"learner": self.learner.state(), "followed": self._followed}
            checkpoint[f"{self.name}_learned"] = state

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        self._kept = checkpoint.get(f"{self.name}_learned")


def automix_in(method: Any) -> AutoMix:
    """The AutoMix that a method is, or chooses from.

    Raises:
        UserError: there is none.
    """
    for each in (method, *getattr(method, "methods", ())):
        if isinstance(each, AutoMix):
            return each
    raise UserError(
        f"LearnedMixingCallback trains the masks of AutoMix, and {type(method).__name__} has none; "
        "use MixingCallback, or AutoMix(alpha=2.0)"
    )


def map_layer(module: nn.Module, layer: str | int | None) -> str:
    """The name, below what takes the images, of the layer with the feature map.

    Raises:
        UserError: the network has no such layer, or names no stages and no layer is given.
    """
    network = network_of(module)
    own, known = feature_layers(network), [name for name, _ in network.named_modules() if name]
    if layer in (None, "last") and not own:
        raise UserError(
            f"{type(network).__name__} does not say which of its layers are stages; name one with "
            f"a feature map, as in mixing.layer={known[0] if known else 'conv1'} "
            f"(it has {some(known)})"
        )
    name = own[max(0, len(own) - 2)] if layer is None else str(layer)
    if name == "input":
        raise UserError("mixing.layer=input has no features; use last, or name a layer")
    name = checked(name, known, own, network)
    inner = classifier_in(module) is network
    return name if inner else f"network.{name}"


def check_not_compiled_apart(module: nn.Module) -> None:
    """Raise UserError if a part is wrapped by torch.compile, which a copy could not be without."""
    if any(isinstance(each, torch._dynamo.OptimizedModule) for each in module.modules()):
        check_not_compiled(module, "a mix block")


def summed(values: Tensor) -> Tensor:
    """The sum over processes."""
    dist.all_reduce(values)
    return values


def of_the_first(values: Tensor) -> Tensor:
    """Those of the first process."""
    dist.broadcast(values, 0)
    return values
