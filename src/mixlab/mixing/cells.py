"""Cells: masks of a grid whose cells each come from the row or from its partner."""

import numpy as np
import torch
from torch import Tensor

from mixlab.mixing.blend import Blend
from mixlab.mixing.masks import pair_of_shares, sent_to
from mixlab.mixing.partner_mask import PartnerMask


def blend_of_cells(
    partners: np.ndarray, taken: np.ndarray, row: np.ndarray, column: np.ndarray, images: Tensor
) -> Blend:
    """The blend in which partners (B,) fill the cells that are `taken`.

    Args:
        taken: (B|1, M, N) bool, the cells of a grid of M rows and N columns.
        row, column: (H,) and (W,) int64, the cell in which each line of pixels lies.
        images: (R, C, H, W), for their device.
    """
    heights = np.bincount(row, minlength=taken.shape[1])
    widths = np.bincount(column, minlength=taken.shape[2])
    share = np.einsum("bmn,m,n->b", taken, heights, widths) / (len(row) * len(column))
    cells = sent_to(torch.from_numpy(taken), images.device)
    for axis, cell in enumerate((row, column), start=1):
        index = torch.from_numpy(cell).to(images.device, non_blocking=True)
        cells = cells.index_select(axis, index)
    return Blend.pair(partners, PartnerMask(cells.float()), pair_of_shares(share))


def blend_of_quarters(
    partners: np.ndarray, taken: np.ndarray, cuts: np.ndarray, images: Tensor
) -> Blend:
    """The blend in which partners (B,) fill the quarters of the picture that are `taken`.

    Args:
        taken: (N|1, 2, 2) bool, N = B or 1: top and bottom, each left and right.
        cuts: (2, N) int64, the first row of pixels at the bottom and the first column at the right.
        images: (R, C, H, W), for their size and device.
    """
    size = images.shape[-2:]
    sides = np.array([[cut, side - cut] for cut, side in zip(cuts, size, strict=True)])
    quarters = np.broadcast_to(taken, (cuts.shape[1], 2, 2))
    share = np.einsum("nyx,yn,xn->n", quarters, *sides) / (size[0] * size[1])
    lines = [np.arange(side) >= cut[:, None] for side, cut in zip(size, cuts, strict=True)]
    below, right = (sent_to(torch.from_numpy(each), images.device) for each in lines)
    below, right = below[:, :, None], right[:, None]
    cell = sent_to(torch.from_numpy(quarters.copy()), images.device)[..., None, None]
    upper, lower = (torch.where(right, cell[:, y, 1], cell[:, y, 0]) for y in (0, 1))
    mask = torch.where(below, lower, upper).float()
    return Blend.pair(partners, PartnerMask(mask), pair_of_shares(share))


def equal_cells(num_pixels: int, num_cells: int) -> np.ndarray:
    """(num_pixels,) int64: the cell of each pixel of a line, of cells as equal as can be."""
    return np.arange(num_pixels) * num_cells // num_pixels
