"""How much was mixed in an epoch, counted on the CPU: what `MixingCallback` logs."""

import math

import torch
from torch import Tensor

from mixlab.mixing import Blend

NO_COUNTS = torch.zeros(4, dtype=torch.float64)
COUNTED_TOGETHER = 32  # batches counted at once, which is cheaper


class MixingCounts:
    """Rows, the sum of their own shares, mixed rows, and the sum of their own content.

    The content is nan where it is not known without painting a mask.
    """

    def __init__(self) -> None:
        self._counted = NO_COUNTS
        self._waiting: list[Blend] = []
        self._unknown = False  # the content of one of those that wait

    def add(self, blend: Blend, label_differs: bool) -> None:
        """Count a blend; its content is what its labels say, unless they differ."""
        self._waiting.append(blend.unpainted)
        self._unknown |= label_differs and blend.is_painted
        if len(self._waiting) == COUNTED_TOGETHER:
            self.total()

    def add_own(self, share: float) -> None:
        """Add to the sum of own shares alone."""
        self._counted = self._counted + torch.tensor([0, share, 0, 0], dtype=torch.float64)

    def total(self) -> Tensor:
        """(4,) float64 on the CPU: all that was counted since `restore`."""
        for blend in self._waiting:
            own, mixed = blend.own_share.detach().double(), blend.mixed_rows
            content = own * math.nan if self._unknown else blend.own_content.detach().double()
            self._counted = self._counted + torch.stack(
                [torch.ones_like(own).sum(), own.sum(), mixed.double().sum(), content.sum()]
            )
        self._waiting, self._unknown = [], False
        return self._counted

    def restore(self, counts: Tensor = NO_COUNTS) -> None:
        """Go on from counts of a checkpoint; older ones have three, without the content."""
        missing = NO_COUNTS.new_full((len(NO_COUNTS) - len(counts),), math.nan)
        self._counted = torch.cat([counts, missing])


def mean_figures(totals: Tensor, label_differs: bool) -> dict[str, float]:
    """Means over the rows of totals (4,); the content where it is known and not what labels say."""
    rows, own, mixed, content = totals.tolist()
    figures = {"own_share": own / rows, "mixed_rows": mixed / rows}
    if label_differs and not math.isnan(content):
        figures["own_content"] = content / rows
    return figures
