"""Libraries' policies for segmentation masks: the same draws and moves, but no changes of color.

A mask is an image of class numbers, so changing or interpolating its values makes no sense. With
the generators in the state they had for the image, these move a mask as the policy moves its image,
by nearest neighbors, with class 0 beyond the border.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from PIL import Image
from torchvision.transforms import v2

MASK_MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
NEAREST = (Image.Resampling.NEAREST,) * 2  # two, for timm draws one of two for each image


class MovesAlone:
    """A policy of torchvision without the operations that change colors."""

    def _apply_image_or_video_transform(
        self, image: Any, transform_id: str, *args: Any, **kwargs: Any
    ) -> Any:
        if transform_id not in MASK_MOVES:
            return image
        return super()._apply_image_or_video_transform(image, transform_id, *args, **kwargs)  # pyright: ignore


class MovingAutoAugment(MovesAlone, v2.AutoAugment):
    """AutoAugment's moves."""


class MovingTrivialAugment(MovesAlone, v2.TrivialAugmentWide):
    """TrivialAugment's moves."""


def of_timm(operations: Sequence[Any], moves: Sequence[str]) -> list[Any]:
    """Operations of timm, changed in place so that only those named in `moves` change a mask."""
    for each in operations:
        if each.name in moves:
            each.kwargs |= {"resample": NEAREST, "fillcolor": 0}
        else:
            each.aug_fn = partial(draw_and_leave, each.aug_fn)
    return list(operations)


def draw_and_leave(operation: Callable[..., Any], mask: Any, *args: Any, **kwargs: Any) -> Any:
    """The unchanged mask, after the operation's draws."""
    operation(mask, *args, **kwargs)
    return mask
