"""Which rows are in which batch of which epoch on which rank: pure functions, no state.

The batch size counts the rows of all ranks together. The rows of such a global batch are dealt to
the ranks in turn, so one process and many see the same global batches, and every rank has the same
number of batches (with one more than the others, a rank would wait forever).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mixlab.checks import whole
from mixlab.errors import UserError
from mixlab.mixing import Address, Purpose, stream

Key = tuple[Address | None, np.ndarray]  # address of a batch, and its int64 (B,) rows
Shuffled = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # of rows, in random order
GUESTS = ("second_pass", "dataset")  # where rows beyond the batch may come from


def permuted(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(rows)


def check_batch_size(rows: int, world_size: int) -> None:
    """Raise UserError if a global batch has no row for each rank."""
    if rows < world_size:
        raise UserError(
            f"data.batch_size={rows} counts the rows of all {world_size} processes together; it "
            f"must be at least {world_size}"
        )


@dataclass(frozen=True, eq=False)
class TrainBatchSampler:
    """Shuffles in each epoch; the order is a function of (seed, epoch) alone.

    The last batch is smaller if the batch size does not divide the number of rows. If it has fewer
    rows than there are ranks, the remaining ranks repeat some of its rows.

    With `guests`, each batch is followed by as many other rows: the same batch of a second,
    independently shuffled pass (`second_pass`), or rows drawn uniformly with replacement from all
    training rows (`dataset`). They do not change the batch itself.
    """

    rows: np.ndarray  # int64 (N,) of the data set
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    rank: int = 0
    world_size: int = 1
    guests: str | None = None
    shuffled: Shuffled = permuted  # data may prefer rows that are stored together

    def __post_init__(self) -> None:
        whole(1).check("data.batch_size", self.batch_size)
        if self.guests not in (None, *GUESTS):
            raise UserError(f"guests must be one of {', '.join(GUESTS)}, got {self.guests!r}")
        check_batch_size(self.batch_size, self.world_size)

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """int64 (N,) rows in the order of an epoch."""
        if not self.shuffle:
            return self.rows
        return self.shuffled(self.rows, stream(Address(self.seed, 0, epoch, 0), Purpose.ORDER))

    def batches(self, epoch: int, start: int = 0) -> Iterator[Key]:
        """The batches of this rank in an epoch, starting at number `start`."""
        order, second = self.order(epoch), self.second_pass(epoch)
        for number in range(start, len(self)):
            address = Address(self.seed, self.rank, epoch, number)
            mine = self.dealt(order, number)
            if second is not None:
                mine = np.concatenate([mine, self.dealt(second, number)])
            elif self.guests == "dataset":
                drawn = stream(address, Purpose.GUESTS).integers(len(self.rows), size=len(mine))
                mine = np.concatenate([mine, self.rows[drawn]])
            yield address, mine

    def dealt(self, order: np.ndarray, number: int) -> np.ndarray:
        """This rank's rows of a global batch."""
        rows = order[number * self.batch_size :][: self.batch_size]
        return rows[self.rank % len(rows) :: self.world_size]

    def global_rows(self, number: int) -> int:
        """How many rows all ranks have together in batch `number`, repeated ones not counted."""
        return min(self.batch_size, len(self.rows) - number * self.batch_size)

    def second_pass(self, epoch: int) -> np.ndarray | None:
        """int64 (N,) rows in a second, independent order, always shuffled."""
        if self.guests != "second_pass":
            return None
        return self.shuffled(self.rows, stream(Address(self.seed, 0, epoch, 0), Purpose.GUESTS))


@dataclass(frozen=True, eq=False)
class EvalBatchSampler:
    """Every row exactly once over all ranks, in order, in batches of nearly equal size."""

    rows: np.ndarray
    batch_size: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        whole(1).check("data.eval_batch_size", self.batch_size)
        if 0 < len(self.rows) < self.world_size:
            raise UserError(
                f"{len(self.rows)} rows cannot be dealt out to {self.world_size} processes; "
                "evaluate on fewer devices"
            )

    def __len__(self) -> int:
        return min(math.ceil(len(self.rows) / self.batch_size), len(self.rows) // self.world_size)

    def batches(self) -> Iterator[Key]:
        """The batches of this rank."""
        parts = np.array_split(self.rows, max(1, len(self)) * self.world_size)
        for rows in parts[self.rank :: self.world_size][: len(self)]:
            yield None, rows
