"""RandAugment, AutoAugment, TrivialAugment and AugMix: chains of drawn operations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mixlab import checks
from mixlab.data.augmentation.library import BORDER_FILLS, Library, PilLibrary
from mixlab.errors import UserError

# timm's operations and the kind each belongs to. Left out: Posterize and PosterizeIncreasing, whose
# strongest levels keep no bit at all, which Pillow refuses; and TranslateX and TranslateY, which
# move by pixels that were chosen for ImageNet.
OPERATIONS = {
    **dict.fromkeys(("AutoContrast", "Equalize", "Invert", "PosterizeOriginal"), "color"),
    **dict.fromkeys(("Solarize", "SolarizeIncreasing", "SolarizeAdd", "Desaturate"), "color"),
    **dict.fromkeys(("Color", "ColorIncreasing", "Contrast", "ContrastIncreasing"), "color"),
    **dict.fromkeys(("Brightness", "BrightnessIncreasing"), "color"),
    **dict.fromkeys(("Sharpness", "SharpnessIncreasing"), "color"),
    **dict.fromkeys(("GaussianBlur", "GaussianBlurRand"), "blur"),
    **dict.fromkeys(("Rotate", "ShearX", "ShearY"), "rotate"),
    **dict.fromkeys(("TranslateXRel", "TranslateYRel"), "crop"),
}
COLOR_CHANGES = ("AutoContrast", "Equalize", "SolarizeIncreasing", "ColorIncreasing")
LIGHTS = ("ContrastIncreasing", "BrightnessIncreasing")
GEOMETRIC_MOVES = ("ShearX", "ShearY", "TranslateXRel", "TranslateYRel")
POLICIES = ("imagenet", "cifar10", "svhn")


@dataclass(frozen=True)
class RandAugment(PilLibrary):
    """Some operations of a pool, one after another, by timm (arXiv:1909.13719).

    timm's `rand-m3-n3-p0.5-mstd2` is magnitude 3, operations 3, rate 0.5, magnitude_std 2.

    Attributes:
        operations: 1 to 20, drawn for each image from the pool, with replacement.
        magnitude: in [0, 10], mean strength.
        magnitude_std: in [0, 10], its standard deviation; what leaves [0, 10] is clipped.
        rate: in [0, 1], chance that an operation drawn is done.
        pool: names of `OPERATIONS`; a name with Increasing is stronger the higher the magnitude.
        fill: of what comes into view at the border, `black` or `gray`.
    """

    operations: int = 3
    magnitude: float = 3.0
    magnitude_std: float = 2.0
    rate: float = 0.5
    pool: Sequence[str] = (*COLOR_CHANGES, *LIGHTS, *GEOMETRIC_MOVES)
    fill: str = "black"

    def check(self) -> None:
        checks.whole(1, 20).check("augmentation.operations", self.operations)
        checks.number(0, 10).check("augmentation.magnitude", self.magnitude)
        checks.number(0, 10).check("augmentation.magnitude_std", self.magnitude_std)
        checks.number(0, 1).check("augmentation.rate", self.rate)
        checks.one_of(*BORDER_FILLS).check("augmentation.fill", self.fill)
        if not checks.is_list(self.pool) or not self.pool:
            raise UserError(f"augmentation.pool must be a list of names, got {self.pool!r}")
        for name in self.pool:
            checks.one_of(*OPERATIONS).check("augmentation.pool", name)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the operations of the pool need."""
        return tuple(dict.fromkeys(OPERATIONS[name] for name in self.pool))

    @cached_property
    def transform(self) -> Callable[[Any], Any]:
        from timm.data import auto_augment as timm

        return timm.RandAugment(self.drawn_from(), self.operations)

    @cached_property
    def mask_transform(self) -> Callable[[Any], Any]:
        from timm.data import auto_augment as timm

        from mixlab.data.augmentation import mask_transforms

        moves = [name for name, kind in OPERATIONS.items() if kind in ("rotate", "crop")]
        operations = mask_transforms.of_timm(self.drawn_from(), moves)
        return timm.RandAugment(operations, self.operations)

    def drawn_from(self) -> list[Any]:
        """The pool, as timm makes it."""
        from timm.data import auto_augment as timm

        options = {"magnitude_std": self.magnitude_std, "img_mean": (BORDER_FILLS[self.fill],) * 3}
        return timm.rand_augment_ops(
            magnitude=self.magnitude,  # pyright: ignore  # any number does
            prob=self.rate,
            hparams=options,
            transforms=list(self.pool),
        )


@dataclass(frozen=True)
class LibraryPolicy(Library):
    """What AutoAugment, TrivialAugment and AugMix share.

    Attributes:
        fill: of what comes into view at the border, `black` or `gray`.
    """

    fill: str = "black"

    def check(self) -> None:
        checks.one_of(*BORDER_FILLS).check("augmentation.fill", self.fill)

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("crop", "rotate", "color")


@dataclass(frozen=True)
class AutoAugment(LibraryPolicy, PilLibrary):
    """One of 25 pairs of operations, found by search, by torchvision (arXiv:1805.09501).

    Attributes:
        policy: the data they were found for: `imagenet`, `cifar10` or `svhn`.
    """

    policy: str = "cifar10"

    def check(self) -> None:
        super().check()
        checks.one_of(*POLICIES).check("augmentation.policy", self.policy)

    @cached_property
    def transform(self) -> Callable[[Any], Any]:
        from torchvision.transforms import v2

        return v2.AutoAugment(v2.AutoAugmentPolicy(self.policy), fill=BORDER_FILLS[self.fill])

    @cached_property
    def mask_transform(self) -> Callable[[Any], Any]:
        from mixlab.data.augmentation import mask_transforms

        return mask_transforms.MovingAutoAugment(
            mask_transforms.v2.AutoAugmentPolicy(self.policy), fill=0
        )


@dataclass(frozen=True)
class TrivialAugment(LibraryPolicy, PilLibrary):
    """One operation of uniform strength, by torchvision (arXiv:2103.10158, the wide ranges).

    Its turns reach 135 degrees, its moves 32 pixels, so small images may leave the picture.

    Attributes:
        levels: of strength, 2 to 100.
    """

    levels: int = 31

    def check(self) -> None:
        super().check()
        checks.whole(2, 100).check("augmentation.levels", self.levels)

    @cached_property
    def transform(self) -> Callable[[Any], Any]:
        from torchvision.transforms import v2

        return v2.TrivialAugmentWide(self.levels, fill=BORDER_FILLS[self.fill])

    @cached_property
    def mask_transform(self) -> Callable[[Any], Any]:
        from mixlab.data.augmentation import mask_transforms

        return mask_transforms.MovingTrivialAugment(self.levels, fill=0)


@dataclass(frozen=True)
class AugMix(LibraryPolicy):
    """A mean of chains of operations, mixed with the image itself, by torchvision.

    https://arxiv.org/abs/1912.02781; without its consistency loss.

    Attributes:
        severity: 1 to 10, of the operations.
        width: number of chains, 1 to 10.
        depth: operations in a chain, 1 to 10; None draws 1 to 3 for each chain.
        alpha: > 0 and <= 100, of the Dirichlet and Beta distributions of the weights.
        all_operations: also brightness, contrast, color and sharpness, which are among the
            corruptions of ImageNet-C and left out for it.
    """

    severity: int = 3
    width: int = 3
    depth: int | None = None
    alpha: float = 1.0
    all_operations: bool = True

    def check(self) -> None:
        super().check()
        checks.whole(1, 10).check("augmentation.severity", self.severity)
        checks.whole(1, 10).check("augmentation.width", self.width)
        checks.number(0.01, 100).check("augmentation.alpha", self.alpha)
        checks.FLAG.check("augmentation.all_operations", self.all_operations)
        if self.depth is not None:
            checks.whole(1, 10).check("augmentation.depth", self.depth)

    @cached_property
    def transform(self) -> Callable[[Any], Any]:
        from torchvision.transforms import v2

        return v2.AugMix(
            self.severity,
            self.width,
            self.depth or -1,
            self.alpha,
            self.all_operations,
            fill=BORDER_FILLS[self.fill],
        )
