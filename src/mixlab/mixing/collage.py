"""Collages: blends whose sources are resized or moved, each seen in a part of the picture."""

import numpy as np
import torch
from torch import Tensor

from mixlab.mixing.blend import Blend
from mixlab.mixing.boxes import Boxes
from mixlab.mixing.masks import OWN_OF_TWO
from mixlab.mixing.tiles import Tiles
from mixlab.mixing.views import resized_into, with_own


def thumbnails(partners: np.ndarray, edges: np.ndarray, height: int, width: int) -> Blend:
    """The rows with the whole of their partners (B,) in boxes (B|1, 4), or of themselves."""
    warp = with_own(resized_into(edges[:, None], height, width))
    mask = Boxes(torch.from_numpy(edges), OWN_OF_TWO, height, width)
    pair = Blend.pair(partners, mask)
    return Blend(pair.source, mask, pair.share, _of_each(warp, len(partners)))


def collage(rows: np.ndarray, edges: np.ndarray, warp: Tensor, height: int, width: int) -> Blend:
    """Pictures made of views of several rows; of a row as it is, the first source, nothing is seen.

    Args:
        rows: (B, K) int64, the first of them the row itself.
        edges: (B|1, K, 4) int64, the part of the picture that each has; together they are all.
        warp: (B|1, K, 2, 3), their views.

    A row without another one among its sources stays as it is.
    """
    source = torch.from_numpy(np.concatenate([rows[:, :1], rows], 1))
    hidden = np.zeros_like(edges[:, :1])
    tiles = Tiles(torch.from_numpy(np.concatenate([hidden, edges], 1)), height, width)
    blend = Blend(source, tiles, warp=_of_each(with_own(warp), len(rows)))
    return blend.where(have_partners(rows))


def with_partners(columns: np.ndarray) -> np.ndarray:
    """(B, K) int64: each row itself, then its partners (B, K - 1)."""
    return np.concatenate([np.arange(len(columns))[:, None], columns], 1)


def have_partners(rows: np.ndarray) -> np.ndarray:
    """(B,) bool: whether any of a row's sources (B, K) is another row than the first."""
    return (rows != rows[:, :1]).any(1)


def _of_each(warp: Tensor, num_rows: int) -> Tensor:
    """`warp` (B|1, ...) for each of B rows."""
    return warp.expand(num_rows, *warp.shape[1:])
