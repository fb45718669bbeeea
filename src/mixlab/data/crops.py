"""How a picture of any size becomes a square one: resized whole, or as ImageNet is trained on."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as transform

from mixlab.checks import CROP
from mixlab.errors import UserError

PART_AREA = (0.08, 1.0)  # share of the picture, as in arXiv:1409.4842
PART_ASPECT = (3 / 4, 4 / 3)  # width by height
BORDER = 256 / 224  # the shorter side is so much longer than the middle that is evaluated


@dataclass(frozen=True)
class Square:
    """Makes uint8 (C, image_size, image_size) images.

    Attributes:
        image_size: side in pixels; None leaves the pictures as they are.
        crop: None resizes the whole picture, whose aspect is lost. `imagenet` trains on a random
            part, 8 to 100 % of the area and 3:4 to 4:3 in aspect, and evaluates the middle of the
            picture, resized so that its shorter side has 256/224 of `image_size`.
    """

    image_size: int | None = None
    crop: str | None = None

    def __post_init__(self) -> None:
        CROP.check("data.crop", self.crop)
        if self.crop and self.image_size is None:
            raise UserError("data.crop=imagenet needs a size to crop to, as data.image_size=224")

    @cached_property
    def random_part(self) -> v2.RandomResizedCrop:
        """Draws the box; made once, for that takes as long as resizing a small picture."""
        assert self.image_size is not None
        return v2.RandomResizedCrop(self.image_size, PART_AREA, PART_ASPECT)

    def __call__(self, image: Tensor, *, training: bool) -> Tensor:
        """A uint8 (C, H, W) picture as a square; a random part is drawn from torch's generator."""
        size = self.image_size
        if size is None:
            return image
        if self.crop is None:
            same = image.shape[1:] == (size, size)
            return image if same else transform.resize(image, [size, size], antialias=True)
        if training:
            box = self.random_part.make_params([image])
            return transform.resized_crop(image, **box, size=[size, size], antialias=True)
        resized = transform.resize(image, [round(size * BORDER)], antialias=True)
        return transform.center_crop(resized, [size, size])
