"""A sample of training rows: a strength is measured on it where random rows would mislead."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """Rows as they are before they are mixed.

    Attributes:
        images, targets: (N, ...) and (N, C) float.
        shuffled: whether any of the rows may be in one batch; else those of a batch are neighbors.
    """

    images: Tensor
    targets: Tensor
    shuffled: bool = True

    def batches(self, rows: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """The numbers of the rows in one batch after another."""
        total = len(self.targets)
        while True:
            if self.shuffled:
                yield rng.permutation(total)[:rows]
            else:
                start = rows * int(rng.integers(max(1, total // rows)))
                yield np.arange(start, min(start + rows, total))


Sampled = Callable[[], Sample]  # rows are read where they are asked for alone
