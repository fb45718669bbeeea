"""Reading a data set in worker processes."""

import atexit
import signal
import sys
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from mixlab.data.map_style import BadItem, ItemDataset
from mixlab.data.sampler import Key
from mixlab.mixing import Batch

# A forked worker has everything imported. In a job of a sweep, and everywhere from Python 3.14 on,
# the default is a server that imports torch and Lightning again for each worker. None is the
# platform's default.
START_METHOD = "fork" if sys.platform == "linux" else None


class Workers:
    """`num_workers` processes that turn keys into batches, epoch after epoch.

    A key defines a batch completely, so the processes need not know the epoch.
    """

    def __init__(self, items: ItemDataset, num_workers: int) -> None:
        self.keys: Iterable[Key] = ()
        self.loader: DataLoader | None = DataLoader(
            Reader(items),
            batch_size=None,
            sampler=self,  # pyright: ignore[reportArgumentType]
            collate_fn=unchanged,
            worker_init_fn=survive_first_sigterm,
            num_workers=num_workers,
            multiprocessing_context=START_METHOD,
            persistent_workers=True,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # or each epoch would draw from the global one
        )
        # Python asks them to end once, which they survive, and then waits for them.
        atexit.register(closed, weakref.ref(self))

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys)

    def batches(self, keys: Iterable[Key]) -> Iterator[Batch]:
        """The batches of `keys`, in order."""
        assert self.loader is not None, "the workers have been closed"
        self.keys = keys
        for batch in self.loader:
            if isinstance(batch, BadItem):
                raise batch
            yield batch

    def close(self) -> None:
        """End the processes, after the last iterator is deleted."""
        self.loader = None


def closed(workers: weakref.ref[Workers]) -> None:
    """Close them if they are still there."""
    if (there := workers()) is not None:
        there.close()


class Reader(Dataset):
    """The data set inside a worker: maps a key to a batch."""

    def __init__(self, items: ItemDataset) -> None:
        self.items = items

    def __getitem__(self, key: Key) -> Batch | BadItem:
        try:
            return self.items[key]
        except BadItem as error:  # raised here, its message would contain a traceback
            return error


def survive_first_sigterm(_: int) -> None:
    """Let a worker outlive the SIGTERM that SLURM may send to every process of a job.

    Its job saves first, at the end of a batch, and needs the worker until then.
    """

    def first(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, first)


def unchanged(batch: Any) -> Any:
    return batch
