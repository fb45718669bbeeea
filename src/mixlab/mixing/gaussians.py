"""Gaussian masks: the partner shows through a soft spot, or the row through it."""

import numpy as np
import torch
from torch import Tensor

from mixlab.mixing.blend import Blend
from mixlab.mixing.masks import pair_of_shares, sent_to
from mixlab.mixing.partner_mask import PartnerMask


def blend_of_gaussians(
    partners: np.ndarray, center: np.ndarray, sigma: np.ndarray, of_row: np.ndarray, images: Tensor
) -> Blend:
    """The blend in which a Gaussian of height 1 is the mask of the partner, or of the row.

    Args:
        partners: (B,) int64.
        center, sigma: (B|1, 2) float, row and column, in pixels.
        of_row: (B|1,) bool, whether it is the mask of the row.
        images: (R, C, H, W), for their size and device.
    """
    size = images.shape[-2:]
    lines = [_bell(size[axis], center[:, axis], sigma[:, axis]) for axis in (0, 1)]
    share = lines[0].mean(1) * lines[1].mean(1)  # the mean of a product of independent factors
    of_y, of_x = (sent_to(torch.from_numpy(each).float(), images.device) for each in lines)
    spot = of_y[:, :, None] * of_x[:, None]
    is_own = torch.from_numpy(of_row)[:, None, None].to(images.device, non_blocking=True)
    mask = torch.where(is_own, 1 - spot, spot)
    return Blend.pair(partners, PartnerMask(mask), pair_of_shares(abs(of_row - share)))


def uniform_centers(num_masks: int, images: Tensor, rng: np.random.Generator) -> np.ndarray:
    """(num_masks, 2) float64, row and column: pixels, all equally likely."""
    size = np.array(images.shape[-2:])
    return np.floor(rng.random((num_masks, 2)) * size)


def _bell(num_pixels: int, center: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """(N, num_pixels) float64: exp(-(p - center)^2 / (2 sigma^2)) for each pixel p of a line."""
    distance = (np.arange(num_pixels) - center[:, None]) / sigma[:, None]
    return np.exp(-(distance**2) / 2)
