"""An encoder of timm under a light decoder, which says the class of each pixel."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlab.data.spec import ImageSpec
from mixlab.errors import UserError
from mixlab.models.networks.pretrained import check_name
from mixlab.models.networks.timm import check_takes


class Segmentation(nn.Module):
    """A feature pyramid (arXiv:1612.03144), from scratch: (B, C, H, W) to (B, classes, H, W).

    Each level of the encoder is brought to `width` channels and added, enlarged, to the finer one;
    the finest says the classes, which are enlarged to the image's size.

    Args:
        spec: of the data.
        name: of the encoder, any that timm can give features of: `resnet10t`, `convnext_atto`, ...
        width: channels of the decoder.
        kwargs: of `timm.create_model`; `out_indices` names the levels, finest first.

    Raises:
        ValueError: for an encoder that is unknown, or without features of several sizes, or that
            cannot take such images.
    """

    def __init__(self, spec: ImageSpec, *, name: str, width: int = 64, **kwargs: Any) -> None:
        import timm

        super().__init__()
        check_name(name)
        kwargs = {"in_chans": spec.channels, **kwargs}
        try:
            self.encoder: Any = timm.create_model(name, features_only=True, **kwargs)
        except (TypeError, RuntimeError, AssertionError, AttributeError, IndexError) as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"{name} gives no such features ({reason}); try resnet10t") from error
        levels = self.encoder.feature_info.channels()
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in levels)
        self.smooth = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.classes = nn.Conv2d(width, spec.num_classes, 1)
        check_takes(self, spec, name)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of each pixel."""
        levels = [
            layer(level) for layer, level in zip(self.laterals, self.encoder(images), strict=True)
        ]
        finer = levels.pop()
        while levels:
            level = levels.pop()
            finer = level + F.interpolate(finer, level.shape[-2:])
        logits = self.classes(torch.relu(self.norm(self.smooth(finer))))
        return F.interpolate(logits, images.shape[-2:], mode="bilinear")
