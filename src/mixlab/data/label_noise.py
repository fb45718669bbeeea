"""Wrong labels on purpose, and fewer training rows, to test methods on bad training data.

Which rows are chosen depends on `noise_seed` alone, so all arms and seeds share them. A larger
share contains the rows of a smaller one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab.checks import ABOVE_0, BELOW_1, NOISE_KIND, whole
from mixlab.data.loader import Fetch
from mixlab.data.sampler import Key
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, Purpose, stream

MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class LabelNoise:
    """Wrong labels for a share of the training rows.

    Attributes:
        share: in [0, 1), of the rows that get a wrong label; exact, up to rounding.
        kind: `symmetric` gives any other class with equal probability; `asymmetric` the next class,
            as if each class was mistaken for one other (pair flipping, arXiv:1804.06872).
        seed: of the choice.
    """

    share: float = 0.0
    kind: str = "symmetric"
    seed: int = 0

    def __post_init__(self) -> None:
        BELOW_1.check("data.label_noise", self.share)
        NOISE_KIND.check("data.noise_kind", self.kind)
        whole(0, MAX_SEED).check("data.noise_seed", self.seed)

    def shift(self, rows: np.ndarray, num_rows: int, num_classes: int) -> Tensor:
        """What is added to each label, modulo the number of classes: int64 (num_rows,).

        Args:
            rows: the training rows; all others keep their label.
            num_rows: of the data set.
        """
        rng = stream(Address(self.seed, 0, 0, 0), Purpose.LABEL_NOISE)
        wrong = rng.permutation(rows)[: round(self.share * len(rows))]
        steps = rng.integers(1, num_classes, len(rows))[: len(wrong)]
        shift = np.zeros(num_rows, np.int64)
        shift[wrong] = steps if self.kind == "symmetric" else 1
        return torch.from_numpy(shift)


def with_wrong_labels(fetch: Fetch, shift: Tensor, num_classes: int) -> Fetch:
    """A `fetch` of the same batches with labels shifted by `shift` (rows of the data set,)."""

    def fetch_shifted(keys: Iterable[Key]) -> Iterator[Batch]:
        for batch in fetch(keys):
            batch.targets = (batch.targets + shift[batch.index]) % num_classes
            yield batch

    return fetch_shifted


def fewer_rows(
    rows: np.ndarray, targets: np.ndarray | None, fraction: float, seed: int
) -> np.ndarray:
    """Sorted: a fraction of the rows in which every class has its share, to within one row.

    Args:
        rows: int64 (N,) row numbers.
        targets: int64 (N,) their labels; None takes any rows.
        fraction: in (0, 1].
        seed: of the choice.

    Raises:
        UserError: a class would have no row left.
    """
    ABOVE_0.check("data.fraction", fraction)
    if fraction == 1:
        return rows
    rng = stream(Address(seed, 0, 0, 0), Purpose.FRACTION)
    order = rng.permutation(len(rows))
    groups = np.zeros(len(rows), np.int64) if targets is None else targets
    # The k-th of a class with n rows comes at (k + 1/2) / n, so that any prefix of the list has
    # every class in proportion, and a larger fraction contains the rows of a smaller one.
    place = np.empty(len(rows))
    for label in np.unique(groups):
        members = order[groups[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    chosen = order[np.argsort(place[order], kind="stable")][: max(1, round(fraction * len(rows)))]
    lost = np.setdiff1d(groups, groups[chosen])
    if len(lost):
        raise UserError(
            f"data.fraction={fraction} of {len(rows)} rows leaves none of class {lost[0]}; give a "
            "larger fraction"
        )
    return np.sort(rows[chosen])
