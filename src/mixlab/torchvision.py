"""torchvision's batch transforms: `from mixlab.torchvision import CutMix, MixUp`.

In place of `torchvision.transforms.v2.CutMix` and `MixUp`, with the arguments, the distributions
and the partners of torchvision 0.29: one draw for the batch, and the row before as the partner.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from mixlab.errors import UserError, train_extra
from mixlab.mixing import CutMix as CutMixMethod
from mixlab.mixing import Method, Policy
from mixlab.mixing import Mixup as MixupMethod
from mixlab.mixing.counter import CallCounter
from mixlab.mixing.labels import check_pairs, soft_labels
from mixlab.mixing.mixer import warn_of_one_row

with train_extra("mixlab.torchvision"):
    from PIL.Image import Image as PILImage
    from torchvision import tv_tensors
    from torchvision.transforms import v2

Getter = Callable[[Any], Any]
NOT_MIXED = ("BoundingBoxes", "Mask", "KeyPoints")
CYCLIC = Policy(partners="cyclic")


class BatchTransform(v2.Transform, ABC):
    """What `MixUp` and `CutMix` share: finding images and labels, and mixing them.

    Where it differs from torchvision:

    - It draws from the engine of `mixlab.mixing` with a seed of its own; torch's generator is
      neither used nor changed. Calls are counted, which is state: see `set_epoch`.
    - Soft labels have 32 bits at least.

    Args:
        alpha: > 0, of Beta(alpha, alpha).
        num_classes: C; needed for class numbers.
        labels_getter: `default`: the second of two inputs, or the entry `labels` of a dict or one
            with `label` in its name; or a function of the inputs that returns the labels.
        seed, rank: see `CallCounter`: by default torch's seed and the rank of torch.distributed.

    Called with images and labels, or with one nested structure that has them. Entries that are
    `tv_tensors.Image` (B, C, H, W) or `Video` (B, T, C, H, W) are mixed, or without any the first
    plain tensor (B, C, H, W); other entries are returned as they are. Labels are class numbers (B,)
    or shares (B, C), of any dtype, and become float shares (B, C).

    Raises:
        UserError: the inputs do not have these shapes, or have PIL images, boxes, keypoints or
            masks.
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        num_classes: int | None = None,
        labels_getter: str | Getter = "default",
        seed: int | None = None,
        rank: int | None = None,
    ) -> None:
        super().__init__()
        if labels_getter != "default" and not callable(labels_getter):
            raise UserError(
                f"labels_getter must be 'default' or a function, got {labels_getter!r}; give a "
                "function that takes the inputs and returns the labels"
            )
        self.method = self.method_of(alpha)
        self.alpha, self.num_classes = float(alpha), num_classes
        self.labels_getter = labels_getter
        self.counter = CallCounter(seed, rank)

    @abstractmethod
    def method_of(self, alpha: float) -> Method:
        """The mixing method of the class."""

    def set_epoch(self, epoch: int) -> None:
        """Say that an epoch begins: the next call is its first batch."""
        self.counter.set_epoch(epoch)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, num_classes={self.num_classes}, seed={self.counter.seed}"

    def forward(self, *inputs: Any) -> Any:
        """The same structure with mixed images and labels, in new tensors."""
        (packed,) = inputs if len(inputs) == 1 else (inputs,)
        leaves, structure = tree_flatten(packed)
        labels = self._labels(packed)
        check_is_entry(labels, leaves)
        images = images_among(leaves, labels)
        check_batches(images, labels)
        is_counted = labels.ndim == 2 and not labels.is_floating_point()  # as one-hot integers are
        shares = labels.float() if is_counted else labels
        targets = soft_labels(shares, self.num_classes, torch.float32)
        blend = CYCLIC.draw(
            self.method, images[0], targets, self.counter.next_address(), num_rows=len(labels)
        )
        warn_of_one_row(blend)
        mixed = {id(labels): blend.targets(targets)}
        mixed |= {id(each): self._mixed(blend, each) for each in images}
        return tree_unflatten([mixed.get(id(leaf), leaf) for leaf in leaves], structure)

    def _mixed(self, blend: Any, images: Tensor) -> Tensor:
        plain = images.as_subclass(Tensor)
        mixed = blend.images(plain)
        return mixed if type(images) is Tensor else type(images)(mixed)

    def _labels(self, packed: Any) -> Tensor:
        """Class numbers (B,) or floats (B, C) among the inputs."""
        default = self.labels_getter == "default"
        labels = find_labels(packed) if default else self.labels_getter(packed)  # pyright: ignore
        if not isinstance(labels, Tensor) or labels.ndim not in (1, 2):
            got = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
            raise UserError(
                f"labels must be a tensor (B,) of class numbers or (B, C) of shares, got {got}; "
                "set labels_getter to a function that returns them"
            )
        if labels.ndim == 2 and self.num_classes not in (None, labels.shape[1]):
            raise UserError(
                f"labels of shape {tuple(labels.shape)} do not have num_classes="
                f"{self.num_classes} columns; leave num_classes out"
            )
        return labels


class MixUp(BatchTransform):
    """mixup, as `torchvision.transforms.v2.MixUp`. Images must be float."""

    def method_of(self, alpha: float) -> Method:
        return MixupMethod(alpha, per_row=False)


class CutMix(BatchTransform):
    """CutMix, as `torchvision.transforms.v2.CutMix`. Images may also be integers."""

    def method_of(self, alpha: float) -> Method:
        return CutMixMethod(alpha, per_row=False)

    def _mixed(self, blend: Any, images: Tensor) -> Tensor:
        if images.is_floating_point():
            return super()._mixed(blend, images)
        return super()._mixed(blend, images.double()).to(images.dtype)  # pixels are only copied


def find_labels(packed: Any) -> Any:
    """The labels where inputs have a usual form.

    Raises:
        UserError: there are none.
    """
    second = packed[1] if isinstance(packed, tuple | list) and len(packed) > 1 else packed
    if isinstance(second, Tensor):
        return second
    names = list(second) if isinstance(second, Mapping) else []
    exact = [name for name in names if str(name).lower() == "labels"]
    near = [name for name in names if "label" in str(name).lower()]
    if not exact and not near:
        found = f"a dict of {', '.join(map(str, names))}" if names else type(second).__name__
        raise UserError(
            f"no labels in {found}; give images and labels, or set labels_getter to a function "
            "that takes the inputs and returns the labels"
        )
    return second[(exact or near)[0]]


def check_is_entry(labels: Tensor, leaves: list[Any]) -> None:
    """Raise UserError unless the labels are one of the inputs, which mixed ones can replace."""
    if not any(leaf is labels for leaf in leaves):
        raise UserError(
            "the labels are none of the entries of the inputs, so mixed ones could not take their "
            "place; keep them in a tuple, list or dict, let labels_getter return them as they are, "
            "and convert them before"
        )


def images_among(leaves: list[Any], labels: Tensor) -> list[Tensor]:
    """What is mixed: images and videos, or the first plain tensor.

    Raises:
        UserError: there is none, or something that cannot be mixed.
    """
    for leaf in leaves:
        if isinstance(leaf, PILImage) or type(leaf).__name__ in NOT_MIXED:
            raise UserError(
                f"MixUp and CutMix take no {type(leaf).__name__}; give batches of images as tensors"
            )
    kinds = (tv_tensors.Image, tv_tensors.Video)
    images: list[Tensor] = [leaf for leaf in leaves if isinstance(leaf, kinds)]
    plain = [leaf for leaf in leaves if type(leaf) is Tensor and leaf is not labels]
    if not images and not plain:
        raise UserError("there are no images beside the labels; give images (B, C, H, W) as well")
    return images or plain[:1]


def check_batches(images: list[Tensor], labels: Tensor) -> None:
    """Raise UserError unless each is a batch of images or videos, one for each label."""
    for each in images:
        axes = "(B, T, C, H, W)" if isinstance(each, tv_tensors.Video) else "(B, C, H, W)"
        if each.ndim != axes.count(",") + 1:
            raise UserError(
                f"a {type(each).__name__} beside {len(labels)} labels must be {axes} with B="
                f"{len(labels)}, got shape {tuple(each.shape)}; call this with a whole batch"
            )
        check_pairs(each, labels)
