"""Puzzle Mix's two optimizations, for a whole batch at once on the device where it is.

Kim et al., Puzzle Mix: Exploiting Saliency and Local Statistics for Optimal Mixup, 2020,
https://arxiv.org/abs/2009.06962. Suffixes name axes: B rows, L labels, n blocks to a side of the
picture, N = n * n blocks.

Both are searches from several starts with moves that only ever improve, in place of the authors'
graph cut (whose library is under the GPL) and of an exact assignment: a fixed number of operations
whatever the rows, and no wait for a GPU. tests/mixing/test_puzzle.py measures the distance from the
exact optimum.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SWEEPS = 8  # over all blocks, of both colors of a chessboard
STEPS = 40  # toward the best mask of any shares
ROUNDS = 3  # over all distances of a swap


@dataclass(frozen=True)
class MaskEnergy:
    """What a mask costs, as in the paper, with labels z in 0, 1 / (L - 1), ..., 1.

    sum_i own_cost_i(z_i) + sum_ij weight_ij * (z_i - z_j)^2 over neighbors i and j.

    Attributes:
        cost_BLnn: of each label of each block.
        down: (B, n - 1, n) weights >= 0 between a block and the one below it.
        across: (B, n, n - 1) between a block and the one to its right.
    """

    cost_BLnn: Tensor
    down: Tensor
    across: Tensor

    @property
    def values_L(self) -> Tensor:
        """The labels as shares of the partner."""
        count = self.cost_BLnn.shape[1]
        return torch.arange(count, device=self.cost_BLnn.device) / max(1, count - 1)

    def of(self, label_Bnn: Tensor) -> Tensor:
        """(B,): what masks of label numbers cost."""
        z = self.values_L[label_Bnn]
        own = self.cost_BLnn.gather(1, label_Bnn[:, None]).sum((1, 2, 3))
        down = (self.down * (z[:, 1:] - z[:, :-1]).square()).sum((1, 2))
        return own + down + (self.across * (z[..., 1:] - z[..., :-1]).square()).sum((1, 2))

    def improved(self, label_Bnn: Tensor) -> Tensor:
        """Labels after sweeps in which each block takes its best label, given its neighbors'."""
        size = label_Bnn.shape[-1]
        place = torch.arange(size, device=label_Bnn.device)
        black = (place[:, None] + place) % 2 == 0  # blocks of a color are no neighbors
        z, values = self.values_L[label_Bnn], self.values_L.view(1, -1, 1, 1)
        around = Neighbors(self.down, self.across)
        own, twice = self.cost_BLnn + around.weight[:, None] * values.square(), 2 * values
        for sweep in range(2 * SWEEPS):
            cost = own - twice * around.total(z)[:, None]
            best = cost.argmin(1)
            label_Bnn = torch.where(black if sweep % 2 else ~black, best, label_Bnn)
            z = self.values_L[label_Bnn]
        return label_Bnn

    def repeated(self, times: int) -> "MaskEnergy":
        """That of `times` batches, one after another."""
        whole = (self.cost_BLnn, self.down, self.across)
        return MaskEnergy(*[torch.cat([part] * times) for part in whole])

    def relaxed(self) -> Tensor:
        """(B, n, n) shares in [0, 1] of nearly least cost, were a block's cost a line in between.

        That is a convex problem, and damped steps of all blocks at once lead to its optimum.
        """
        slope = self.cost_BLnn[:, -1] - self.cost_BLnn[:, 0]
        z = torch.full_like(slope, 0.5)
        around = Neighbors(self.down, self.across)
        total = 2 * around.weight + 1e-6
        for _ in range(STEPS):
            best = (2 * around.total(z) - slope) / total
            z = 0.5 * (z + best.clamp(0, 1))
        return z

    def least(self) -> Tensor:
        """(B, n, n) label numbers of low cost: the best of what each start leads to.

        Starts are each block's own best label, the same of its neighborhood, each label
        everywhere, and the best mask of any shares, rounded in three ways.
        """
        smooth = torch.nn.functional.avg_pool2d(
            self.cost_BLnn, 3, stride=1, padding=1, count_include_pad=False
        )
        starts = [self.cost_BLnn.argmin(1), smooth.argmin(1)]
        count = self.cost_BLnn.shape[1]
        starts += [torch.full_like(starts[0], each) for each in range(count)]
        relaxed = (count - 1) * self.relaxed()
        starts += [(relaxed + up).long().clamp(0, count - 1) for up in (0.3, 0.5, 0.7)]
        every = self.repeated(len(starts))  # all starts at once: an eighth of the calls
        labels = every.improved(torch.cat(starts))
        ends = labels.unflatten(0, (len(starts), -1))
        cost = every.of(labels).view(len(starts), -1)
        best = cost.argmin(0).view(1, -1, 1, 1).expand(1, *ends.shape[1:])
        return ends.gather(0, best)[0]


class Neighbors:
    """Sums over the neighbors of every block, in few operations.

    Attributes:
        weight: (B, n, n): the sum of a block's weights.
    """

    def __init__(self, down: Tensor, across: Tensor) -> None:
        rows, size = down.shape[0], down.shape[-1]
        place = torch.arange(size * size, device=down.device).view(size, size)
        # Above, below, left and right. Beyond a border there is block 0, of weight zero.
        sides = (
            F.pad(place[:-1], (0, 0, 1, 0)), F.pad(place[1:], (0, 0, 0, 1)),
            F.pad(place[:, :-1], (1, 0)), F.pad(place[:, 1:], (0, 1)),
        )  # fmt: skip
        weights = (
            F.pad(down, (0, 0, 1, 0)), F.pad(down, (0, 0, 0, 1)),
            F.pad(across, (1, 0)), F.pad(across, (0, 1)),
        )  # fmt: skip
        self._place = torch.stack(sides).flatten()
        self._weights = torch.stack(weights, 1).view(rows, 4, size, size)
        self.weight = self._sum(self._weights)

    def total(self, z_Bnn: Tensor) -> Tensor:
        """(B, n, n): the sum over a block's neighbors of their weight times their z."""
        near = z_Bnn.flatten(1).index_select(1, self._place)
        return self._sum(self._weights * near.view_as(self._weights))

    def _sum(self, four: Tensor) -> Tensor:
        above, below, left, right = four.unbind(1)
        return above + below + left + right


def transported(seen_BN: Tensor, saliency_BN: Tensor, price: float) -> Tensor:
    """(B, N) int64 permutations: the block of the source that lies at each place.

    They make large what is seen, sum_j seen_j * saliency[p_j], less `price` times the squares of
    the moves in blocks, times (n / (n - 1))^2. From no move at all, by swaps of two blocks in a row
    or a column. Every block stays in the picture; in the authors' code, where several want a place,
    the others are lost.
    """
    rows, count = saliency_BN.shape
    size = round(count**0.5)
    place = torch.arange(count, device=saliency_BN.device)
    # A move is the difference of two of these numbers, and its price lies there in a table.
    number_N = place // size * 2 * size + place % size
    side = torch.arange(1 - size, size, device=saliency_BN.device)
    squares = side[:, None].square() + side.square()
    prices = price * (squares * (size / max(1, size - 1)) ** 2)
    prices = F.pad(prices, (0, 1)).flatten()
    start_N = number_N - (size - 1) * (2 * size + 1)

    def worth(block_BN: Tensor) -> Tensor:
        move_BN = number_N[block_BN] - start_N
        return seen_BN * saliency_BN.gather(1, block_BN) - prices[move_BN]

    block_BN = place.expand(rows, count)
    worth_BN = worth(block_BN)
    for other_N in _swaps(size, saliency_BN.device) * ROUNDS:
        swapped = block_BN.index_select(1, other_N)
        after = worth(swapped)
        gain = after - worth_BN
        better = gain + gain.index_select(1, other_N) > 1e-6
        block_BN = torch.where(better, swapped, block_BN)
        worth_BN = torch.where(better, after, worth_BN)
    return block_BN


def _swaps(size: int, device: torch.device) -> list[Tensor]:
    """Ways (N,) of pairing places: each with the one 1, 2, 4, ... away in its row or column."""
    place, powers = torch.arange(size, device=device), max(1, size.bit_length())
    step = (2 ** torch.arange(powers, device=device)).view(-1, 1, 1)
    start = step * torch.arange(2, device=device).view(-1, 1)
    first = torch.div(place - start, step, rounding_mode="floor") % 2 == 0
    other = torch.where(first, place + step, place - step)
    other = torch.where((other >= 0) & (other < size), other, place).flatten(0, 1)
    down = (other[:, :, None] * size + place).flatten(1)
    across = (place[:, None] * size + other[:, None]).flatten(1)
    return list(torch.stack([down, across], 1).flatten(0, 1).unbind())
