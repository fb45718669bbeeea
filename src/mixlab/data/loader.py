"""The loaders Lightning sees: one for training, one for evaluation.

Lightning (2.6) makes the first iterator of a run *before* it sets the epoch, and one more only to
see whether it can. So `__iter__` is a generator, which reads the epoch when the first batch is
requested. Lightning calls `set_epoch` on `loader.sampler` only, hence `sampler`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mixlab.data.sampler import EvalBatchSampler, Key, TrainBatchSampler
from mixlab.mixing import Batch, Guests

Fetch = Callable[[Iterable[Key]], Iterable[Batch]]  # `batches` of a data set


class TrainLoader:
    """The training batches of one epoch after another, each with its address.

    `set_epoch` sets the next epoch. The state is the epoch and the number of batches yielded from
    it, so an interrupted epoch resumes at its next batch.
    """

    def __init__(self, plan: TrainBatchSampler, fetch: Fetch) -> None:
        self.plan = plan
        self.fetch = fetch
        self.epoch = 0
        self.position = 0
        self._resume: dict[str, int] = {}

    @property
    def sampler(self) -> "TrainLoader":
        return self

    @property
    def batch_sampler(self) -> None:
        return None

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        resume, self._resume = self._resume, {}
        resumes = resume.get("epoch") == self.epoch and resume["position"] < len(self)
        self.position = resume["position"] if resumes else 0
        for batch in self.fetch(self.plan.batches(self.epoch, self.position)):
            batch = split_guests(batch) if self.plan.guests else batch
            batch.global_rows = self.plan.global_rows(self.position)
            self.position += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._resume = dict(state)
        self.epoch, self.position = state["epoch"], state["position"]


def split_guests(batch: Batch) -> Batch:
    """The first half of the rows as the batch, the second half as its guests."""
    (images, others), (targets, theirs) = batch.images.chunk(2), batch.targets.chunk(2)
    assert batch.index is not None
    index, numbers = batch.index.chunk(2)
    return Batch(images, targets, batch.address, index, Guests(others, theirs, numbers))


class EvalLoader:
    """The same batches every time, without an address, so that they are never mixed."""

    def __init__(self, plan: EvalBatchSampler, fetch: Fetch) -> None:
        self.plan = plan
        self.fetch = fetch

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        yield from self.fetch(self.plan.batches())
