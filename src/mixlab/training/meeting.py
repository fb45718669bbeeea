"""What the ranks of a launch tell each other before and after training, through torch's store.

The store is torchrun's own, or rank 0's in a SLURM step, so it is of this attempt alone: nothing
of an earlier one can be taken for it, and nothing has to be cleaned up. Training itself uses
collectives, which a rank that fails or is refused could not take part in.
"""

import json
import os
import socket
import time
from datetime import timedelta
from typing import Any

from mixlab.errors import UserError
from mixlab.training.ranks import Launch

WAIT = 300.0  # seconds for what takes an import of torch, and nodes that start one after another
LAST_WORDS = 10.0  # seconds for ranks that are about to end anyway
POLL_SECONDS = 0.1
END = "end"


class RankZeroGone(UserError):
    """Rank 0 has ended without a word, or could not be reached."""


class Meeting:
    """A store of JSON values that all ranks read and write."""

    def __init__(self, launch: Launch, store: Any) -> None:
        self.launch = launch
        self.store = store

    @classmethod
    def open(cls, launch: Launch, seconds: float = WAIT) -> "Meeting":
        """Connect all ranks of a launch, which may train several runs after each other.

        Raises:
            RankZeroGone: they did not find each other in time.
        """
        from torch.distributed import PrefixStore, rendezvous  # pyright: ignore

        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = launch.address, str(launch.port)
        limit = timedelta(seconds=seconds)
        try:
            socket.getaddrinfo(launch.address, launch.port)
        except OSError:
            raise RankZeroGone(
                f"{launch.address}, the host of rank 0, is not found by this name on "
                f"{socket.gethostname()}; set MASTER_ADDR to its address for all ranks"
            ) from None
        try:
            found = rendezvous("env://", launch.rank, launch.world_size, timeout=limit)
            store, _, _ = next(iter(found))
        except RuntimeError as error:
            raise RankZeroGone(
                f"the {launch.world_size} ranks did not find each other at {launch.address}:"
                f"{launch.port} within {seconds:.0f} s (this is rank {launch.rank} on "
                f"{socket.gethostname()}: {str(error).splitlines()[0]}); all must be started, and "
                "reach the host of rank 0, which MASTER_ADDR and MASTER_PORT can name"
            ) from None
        number = store.add(f"mixlab/{launch.id}/{launch.rank}", 1)
        return cls(launch, PrefixStore(f"mixlab/{launch.id}/meeting-{number}", store))

    def tell(self, key: str, value: Any) -> None:
        """Write a value for all ranks."""
        self.store.set(key, json.dumps(value, default=str))

    def knows(self, key: str) -> bool:
        """Whether a key has been written."""
        try:
            return self.store.check([key])
        except RuntimeError:
            raise RankZeroGone(
                f"rank 0 at {self.launch.address} ended without a word; see its output"
            ) from None

    def told(self, key: str, seconds: float = WAIT) -> Any:
        """The value of a key, or that of `end` if it was written first; None if neither was."""
        until = time.monotonic() + seconds
        while True:
            for each in (key, END):
                if self.knows(each):
                    return json.loads(self.store.get(each))
            if time.monotonic() > until:
                return None
            time.sleep(POLL_SECONDS)

    def leave(self) -> None:
        """Say that this rank has read the end; rank 0 waits for the others if it has the store."""
        waits = self.launch.rank == 0 and self.launch.launcher == "srun"
        until = time.monotonic() + LAST_WORDS
        try:
            self.store.add("left", 1)
            while waits and time.monotonic() < until:
                if self.store.add("left", 0) >= self.launch.world_size:
                    return
                time.sleep(POLL_SECONDS)
        except RuntimeError:  # the store has ended already
            pass
