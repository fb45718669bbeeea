"""What the ranks of a launch tell each other before and after training, through torch's store.

The store is torchrun's own, or rank 0's in a SLURM step. Torchrun's outlives the attempts of a
launch, and its agents count them differently (https://github.com/pytorch/pytorch/issues/135712), so
rank 0 names each meeting anew and tells the name to a rank that asks: what an attempt before has
left behind answers nobody. Training itself uses collectives, which a rank that fails or is refused
could not take part in.
"""

import json
import os
import socket
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

from mixlab.errors import UserError
from mixlab.training.ranks import Launch

WAIT = 300.0  # seconds for what takes an import of torch, and nodes that start one after another
LAST_WORDS = 10.0  # seconds for ranks that are about to end anyway
POLL_SECONDS = 0.1
END = "end"


class RankZeroGone(UserError):
    """Rank 0 has ended without a word, or could not be reached."""


class Meeting:
    """A store of JSON values that all ranks read and write.

    Args:
        launch: which rank this is.
        store: of this meeting alone.
        lobby: on rank 0, where the others ask for the name of the meeting; None if all know it.
        name: what to answer.
    """

    def __init__(self, launch: Launch, store: Any, lobby: Any = None, name: str = "") -> None:
        self.launch, self.store, self.lobby, self.name = launch, store, lobby, name
        self.is_first = lobby is None or lobby.add("meetings", 1) == 1
        self._answered = 0  # how often somebody had asked
        self._server: Any = None

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
        lobby = PrefixStore(f"mixlab/{launch.id}", store)
        name = name_asked_for(launch, lobby, seconds) if launch.rank else uuid4().hex
        own = PrefixStore(f"meeting-{name}", lobby)
        return cls(launch, own, None if launch.rank else lobby, name)

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
            self.welcome()
            for each in (key, END):
                if self.knows(each):
                    return json.loads(self.store.get(each))
            if time.monotonic() > until:
                return None
            time.sleep(POLL_SECONDS)

    def welcome(self) -> None:
        """On rank 0: tell the name of this meeting to those that have asked for it."""
        if self.lobby is None:
            return
        with suppress(RuntimeError):  # the store has ended: who reads it next says so
            asked = self.lobby.add("asked", 0)
            ranks = range(1, self.launch.world_size) if asked != self._answered else ()
            for rank in ranks:
                if self.lobby.check([f"asks/{rank}"]):
                    asker = self.lobby.get(f"asks/{rank}").decode()
                    self.lobby.set(f"answer/{asker}", self.name)
            self._answered = asked

    def fresh_port(self) -> int | None:
        """On rank 0: a port with an empty store for the process group, if the launch's is not.

        In the launch's, a rank could find the address of one that has died, and call that.
        """
        from torch.distributed import TCPStore  # pyright: ignore

        if self.is_first or self.launch.launcher != "torchrun":
            return None
        self._server = TCPStore(
            self.launch.address,
            0,
            self.launch.world_size,
            is_master=True,
            wait_for_workers=False,
            multi_tenant=True,  # the process group opens it once more
        )
        return self._server.port

    def leave(self) -> None:
        """Say that this rank has read the end.

        Rank 0 waits for the others: for all to have come, and to have left if it has the store.
        """
        until = time.monotonic() + LAST_WORDS
        with suppress(RuntimeError, RankZeroGone):  # the store has ended already
            self.store.add("left", 1)
            while self.launch.rank == 0 and time.monotonic() < until and not self.is_over():
                self.welcome()
                time.sleep(POLL_SECONDS)

    def is_over(self) -> bool:
        """On rank 0: whether no other rank needs it any more."""
        if self.launch.launcher == "srun":
            return self.store.add("left", 0) >= self.launch.world_size
        return all(self.knows(f"rank/{rank}") for rank in range(1, self.launch.world_size))


def name_asked_for(launch: Launch, lobby: Any, seconds: float) -> str:
    """The name of rank 0's meeting.

    Raises:
        RankZeroGone: it has not answered in time.
    """
    asked, until = uuid4().hex, time.monotonic() + seconds
    with suppress(RuntimeError):
        lobby.set(f"asks/{launch.rank}", asked)
        lobby.add("asked", 1)
        while time.monotonic() < until:
            if lobby.check([f"answer/{asked}"]):
                return lobby.get(f"answer/{asked}").decode()
            time.sleep(POLL_SECONDS)
    raise RankZeroGone(
        f"rank 0 at {launch.address} did not answer rank {launch.rank}; see its output"
    )


def use_port(port: int | None) -> None:
    """Let the process group meet at a port of `Meeting.fresh_port`, if there is one."""
    if port is not None:
        os.environ["MASTER_PORT"] = str(port)
        os.environ.pop("TORCHELASTIC_USE_AGENT_STORE", None)  # rank 0 serves this one
