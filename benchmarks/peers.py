"""Mixing of other libraries, as calls with images and one-hot targets."""

from collections.abc import Callable

import torch
from timm.data.mixup import Mixup as TimmMixup
from torch import Tensor
from torchvision.transforms import v2

NUM_CLASSES = 10
Call = Callable[[Tensor, Tensor], object]


def timm(mixup_alpha: float, cutmix_alpha: float, mode: str = "elem") -> Call:
    """Row by row or, in mode `batch`, once; it writes into the images that it is given."""
    return TimmMixup(
        mixup_alpha,
        cutmix_alpha,
        mode=mode,
        label_smoothing=0.0,
        num_classes=NUM_CLASSES,
        multi_label=True,
    )


def torchvision(mixup_alpha: float | None, cutmix_alpha: float | None) -> Call:
    """Once for the batch."""
    if mixup_alpha is not None:
        return v2.MixUp(alpha=mixup_alpha, num_classes=NUM_CLASSES)
    return v2.CutMix(alpha=cutmix_alpha, num_classes=NUM_CLASSES)


def kornia(mixup: bool) -> Call | None:
    """Row by row, labels as two classes and a share; None where kornia is not installed."""
    try:
        import kornia.augmentation as K
    except ModuleNotFoundError:
        return None
    kind = K.RandomMixUpV2 if mixup else K.RandomCutMixV2
    mix = kind(p=1.0, data_keys=["input", "class"])
    return lambda images, targets: mix(images, targets.argmax(1))


def peers() -> dict[str, tuple[Call | None, Call | None]]:
    """By name: per row, and per batch; None where there is no such mode."""
    return {
        "timm mixup": (timm(0.2, 0.0), timm(0.2, 0.0, "batch")),
        "timm CutMix": (timm(0.0, 1.0), timm(0.0, 1.0, "batch")),
        "torchvision mixup": (None, torchvision(0.2, None)),
        "torchvision CutMix": (None, torchvision(None, 1.0)),
        "kornia mixup": (kornia(mixup=True), None),
        "kornia CutMix": (kornia(mixup=False), None),
    }


def copied(images: Tensor, targets: Tensor) -> Tensor:
    """The limit: a batch in new memory."""
    return torch.clone(images)
