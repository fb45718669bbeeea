"""Which rank hangs, judged by what its beats say: pure functions, without files or clocks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mixlab.checks import duration

AWAY = 0.5  # of the limit: who did nothing for so long has been stopped, or its machine is gone


@dataclass(frozen=True)
class Beat:
    """What a rank writes again and again.

    Attributes:
        number: of the beat; it grows as long as the process runs.
        order, where, patience: of its last `Mark`.
        host, pid, born: the process, so that no other one of the same number is taken for it.
    """

    number: int
    order: tuple[int, ...] = ()
    where: str = ""
    patience: int = 1
    host: str = ""
    pid: int = 0
    born: str = ""

    @property
    def process(self) -> tuple[str, int, str]:
        return self.host, self.pid, self.born


@dataclass(frozen=True)
class Seen:
    """A rank as another one sees it: its last beat, and for how many seconds it has not changed."""

    beat: Beat
    silent: float  # since the last beat
    still: float  # since the rank passed its last mark


@dataclass(frozen=True)
class Verdict:
    """Ranks that hang, none if that cannot be told; silent ones do not even beat."""

    guilty: tuple[int, ...]
    silent: bool
    where: str

    def sentence(self, limit: float) -> str:
        """For `run.json`."""
        time = duration(limit)
        if not self.guilty:
            return f"no rank has gone on for {time}, all stood at {self.where}; see error.txt"
        ranks = " and ".join(map(str, self.guilty))
        who, have = (f"ranks {ranks}", "have") if len(self.guilty) > 1 else (f"rank {ranks}", "has")
        if self.silent:
            return f"{who} {have} not answered for {time}: it stood at {self.where}; see error.txt"
        return (
            f"{who} {have} not gone on for {time} while the others waited: it stood at "
            f"{self.where}; see error.txt"
        )


def judge(ranks: Mapping[int, Seen], limit: float) -> Verdict | None:
    """Who hangs, None if nobody does.

    A rank that has not beaten for the limit is stopped or gone. If all beat and none has passed a
    mark for the limit, the ones that are furthest behind hang, and the others wait for them. If
    none is behind, nobody can tell. Outside of training and tests a rank may take its time.

    Args:
        ranks: those that have begun and have not ended.
        limit: seconds.
    """
    silent = [rank for rank, seen in ranks.items() if seen.silent >= limit]
    if silent:
        return Verdict(tuple(sorted(silent)), True, ranks[min(silent)].beat.where)
    if not ranks or any(seen.silent >= AWAY * limit for seen in ranks.values()):
        return None  # who has been silent for a while is about to be judged for that
    last = min(seen.beat.order for seen in ranks.values())
    behind = sorted(rank for rank, seen in ranks.items() if seen.beat.order == last)
    patience = max(ranks[rank].beat.patience for rank in behind)
    if not last or min(seen.still for seen in ranks.values()) < limit * patience:
        return None
    where = ranks[behind[0]].beat.where
    alike = len(behind) == len(ranks) > 1
    return Verdict(() if alike else tuple(behind), False, where)


@dataclass
class Watched:
    """When each rank last changed, on the watcher's own clock: clocks of machines may differ."""

    limit: float
    _changes: dict[int, tuple[Beat, float, float]] = field(default_factory=dict)
    _looked: float | None = None

    def look(self, beats: Mapping[int, Beat], now: float) -> dict[int, Seen]:
        """The ranks that beat, and for how long each has not changed.

        There is no file of an earlier training: rank 0 removes those before a rank begins.
        """
        if self._looked is not None and now - self._looked > AWAY * self.limit:
            self._changes = {rank: (beat, now, now) for rank, (beat, *_) in self._changes.items()}
        self._looked = now
        for rank, beat in beats.items():
            before, beaten, moved = self._changes.get(rank, (beat, now, now))
            if beat.number != before.number:
                beaten = now
            moved = now if beat.order != before.order else moved
            self._changes[rank] = (beat, beaten, moved)
        return {
            rank: Seen(self._changes[rank][0], now - beaten, now - moved)
            for rank, (_, beaten, moved) in self._changes.items()
            if rank in beats
        }
