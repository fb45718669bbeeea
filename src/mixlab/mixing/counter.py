"""CallCounter: an address for each batch where nobody says which batch it is."""

import os

import torch
from torch import distributed
from torch.utils.data import get_worker_info

from mixlab.checks import SEED, check_fields
from mixlab.mixing.stream import Address


class CallCounter:
    """Numbers the batches of an epoch by counting calls, also in the workers of a DataLoader.

    This is state: the same call later draws other numbers. Two cases differ:

    - After `set_epoch(epoch)` before each epoch, batch n of epoch e has the address
      (seed, rank, e, n). With W workers, the k-th call in worker w is batch k * W + w, as a
      DataLoader deals batches to workers in turn. So draws do not depend on the number of workers,
      and a training that resumes at an epoch repeats nothing.
    - Without `set_epoch`, one process counts on over epochs. Workers have a new start in each
      epoch, so they take the seed that the DataLoader draws for them as the epoch: nothing repeats,
      but draws follow the number of workers and the state of torch's generator.

    The epoch lies in shared memory, so that workers that live through several epochs see it.

    Attributes:
        seed: of the training; by default torch's, as `torch.manual_seed` set it before this object
            was made.
        rank: of this process; by default that of torch.distributed where it is initialized by then.
    """

    def __init__(self, seed: int | None = None, rank: int | None = None) -> None:
        self.seed = torch.initial_seed() % 2**32 if seed is None else seed
        self.rank = current_rank() if rank is None else rank
        check_fields(self, seed=SEED, rank=SEED.but("give the rank of this process"))
        # The epoch, and how often it was set.
        self._shared = torch.tensor([-1, 0], device="cpu").share_memory_()
        self._counted_for = (-1, -1)
        self._calls = 0

    def set_epoch(self, epoch: int) -> None:
        """Say that an epoch begins, before the loader is iterated; the next batch is number 0."""
        SEED.but("count the epochs from 0").check("epoch", epoch)
        self._shared.share_memory_()  # a copy of this object has memory of its own
        self._shared[0] = epoch
        self._shared[1] += 1

    @property
    def epoch(self) -> int | None:
        """What `set_epoch` said last; None if nobody called it."""
        epoch = int(self._shared[0])
        return None if epoch < 0 else epoch

    def next_address(self) -> Address:
        """The address of the batch at hand; each call is another batch."""
        begun = (int(self._shared[1]), os.getpid())
        if begun != self._counted_for:
            self._counted_for, self._calls = begun, 0
        number, epoch = self._calls, self.epoch
        self._calls += 1
        if (worker := get_worker_info()) is not None:
            number = number * worker.num_workers + worker.id
            if epoch is None:
                epoch = (worker.seed - worker.id) % 2**32
        return Address(self.seed, self.rank, epoch or 0, number)


def current_rank() -> int:
    """The rank of torch.distributed, 0 where it is not initialized."""
    is_set_up = distributed.is_available() and distributed.is_initialized()
    return distributed.get_rank() if is_set_up else 0
