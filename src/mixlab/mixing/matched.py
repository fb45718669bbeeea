"""A blend of point clouds: each point is mixed with the one that it is matched with."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from mixlab.errors import UserError, train_extra
from mixlab.mixing.blend import Blend
from mixlab.mixing.masks import summing_dtype


@dataclass(frozen=True, eq=False)
class MatchedBlend(Blend):
    """A blend of two clouds (R, C, N), whose partner's points are taken in another order.

    Attributes:
        order: (B, N) int64 on the CPU: point n of a row is mixed with point order[n] of its
            partner.
    """

    order: Tensor = cast(Tensor, None)

    def images(self, images: Tensor) -> Tensor:
        """See `Blend.images`; raises UserError for clouds of another number of points."""
        if images.ndim != 3 or images.shape[2] != self.order.shape[1]:
            points, got = self.order.shape[1], tuple(images.shape)
            raise UserError(f"matched for clouds of {points} points, got shape {got}; draw again")
        if not images.is_floating_point():
            raise UserError(f"images must be float, got {images.dtype}; mix after images.float()")
        partner = self.view(images, 1, slice(None))
        mask = cast(Tensor, self.mask).to(images, non_blocking=True)[:, :, None, None]
        return images[: self.num_rows] * mask[:, 0] + partner * mask[:, 1]

    def view(self, images: Tensor, k: int, rows: slice) -> Tensor:
        """See `Blend.view`; the partner's points lie beside those that they are matched with."""
        view = super().view(images, k, rows)
        if k == 0:
            return view
        order = self.order[rows].to(images.device, non_blocking=True)
        return view.gather(2, order[:, None].expand(-1, images.shape[1], -1))

    def where(self, rows: np.ndarray | Tensor) -> Blend:
        """See `Blend.where`; a row that is not chosen keeps its own points in their order."""
        if rows.all():
            return self
        flat = super().where(rows)
        own = torch.arange(self.order.shape[1], device="cpu")
        chosen = torch.from_numpy(rows) if isinstance(rows, np.ndarray) else rows
        order = torch.where(chosen[:, None], self.order, own)
        return MatchedBlend(flat.source, flat.mask, flat.share, order=order)


def best_order(clouds: Tensor, partners: Tensor) -> Tensor:
    """(B, N) int64: the points of each partner (B, C, N) in the order that fits the clouds' best.

    The assignment with the smallest sum of Euclidean distances, the earth mover's distance, by
    scipy's exact solver: of order N**3 on the CPU, and it waits for a GPU.
    """
    with train_extra("PointMixup"):
        from scipy.optimize import linear_sum_assignment
    one, other = (each.detach().to(summing_dtype(each)).mT for each in (clouds, partners))
    costs = torch.cdist(one, other, compute_mode=BY_DIFFERENCES).cpu().numpy()
    found = [linear_sum_assignment(cost)[1] for cost in costs]
    return torch.from_numpy(np.stack(found).astype(np.int64))


BY_DIFFERENCES = (
    "donot_use_mm_for_euclid_dist"  # by matrix products, a point is not at 0 from itself
)
