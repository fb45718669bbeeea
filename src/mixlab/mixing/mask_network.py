"""MaskNetwork: from images to masks, through the feature map of a network and a mix block."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlab.errors import UserError
from mixlab.mixing.methods.method import picture_size
from mixlab.mixing.mix_block import TINY, MixBlock
from mixlab.mixing.saliency.activation_map import features_first, watched_features
from mixlab.mixing.undisturbed import undisturbed

MOST_PLACES = (
    16  # places of a feature map in height and in width; the attention grows with the 4th power
)


class MaskNetwork(nn.Module):
    """Says where each row of image pairs is seen.

    Args:
        encoder: images to anything; it is looked at in eval mode and without gradients, and left
            as it was.
        layer: the dotted name of its module whose output (R, C, h, w) is used; None for the last
            that has such an output of more than a pixel.
        block: of the channels of that output; None for one that was never trained.
        known: images (R, C, H, W) and their features, which are not made again; see `knowing`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        layer: str | None = None,
        block: MixBlock | None = None,
        known: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.layer, self.block, self.known = encoder, layer, block, known

    def knowing(self, images: Tensor) -> "MaskNetwork":
        """The same network, which has looked at `images`, for as long as it does not change."""
        return MaskNetwork(self.encoder, self.layer, self.block, (images, self.features(images)))

    def forward(self, images: Tensor, partner: np.ndarray, own: np.ndarray) -> Tensor:
        """(B, 1, H, W) float32 in [0, 1], with gradients of the block alone; waits for no GPU.

        Args:
            images: (R, C, H, W) float.
            partner: (B,) int64, B <= R, a row for each of the first B.
            own: (B,) or (1,), the shares that the rows shall keep.

        Raises:
            UserError: the encoder has no such layer, or no feature map.
        """
        features = self.features(images)
        share = torch.from_numpy(own.astype(np.float32)).to(images.device, non_blocking=True)
        rows = torch.from_numpy(partner).to(images.device, non_blocking=True)
        block = fresh_block(features) if self.block is None else self.block
        size = (images.shape[-2], images.shape[-1])
        pair = features[: len(partner)], features.index_select(0, rows)
        return block(*pair, share.expand(len(partner)), size)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """(R, C, h, w) float32, h and w up to `MOST_PLACES`, of a root mean square of one.

        Without a common scale, the masks of a network with large features are 0 or 1 everywhere
        from the start, and their slopes vanish.
        """
        if self.known is not None and images is self.known[0]:
            return self.known[1]
        picture_size(images, "AutoMix")
        with (
            undisturbed(self.encoder, images) as pixels,
            watched_features(self.encoder, self.layer) as found,
            torch.no_grad(),
        ):
            self.encoder(pixels)
        if found.last is None:
            which = "no layer" if self.layer is None else f"layer {self.layer}"
            verb = "gives one" if self.layer is None else "gives none"
            raise UserError(
                "masks are made from a feature map, rows x features x height x width, and "
                f"{which} of {type(self.encoder).__name__} {verb}; set mixing.layer to a "
                "convolution, or use mixing=cutmix"
            )
        maps = pooled(features_first(found.best(), self.encoder))
        return F.rms_norm(maps, maps.shape[1:], eps=TINY)


def pooled(features: Tensor) -> Tensor:
    """Features (R, C, ..., h, w) as (R, C, h, w) in float32, of at most `MOST_PLACES` each way."""
    features = features.float().unflatten(2, (1, -1)).flatten(2, -3).mean(2)
    height, width = features.shape[-2:]
    small = (min(height, MOST_PLACES), min(width, MOST_PLACES))
    return features if small == (height, width) else F.adaptive_avg_pool2d(features, small)


def fresh_block(features: Tensor) -> MixBlock:
    """A block for `features` (R, C, h, w) with the same initial weights each time."""
    return MixBlock(features.shape[1], torch.Generator().manual_seed(0), features.device)


def check_feature_map(features: Tensor, name: str) -> None:
    """Raise UserError for a map of one place, which cannot say where."""
    if features.shape[-2:].numel() == 1:
        raise UserError(
            f"mixing.layer={name} gives {tuple(features.shape[1:])} for an image, one place alone, "
            "which cannot say where an image matters; choose an earlier layer"
        )
