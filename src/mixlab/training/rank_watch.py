"""Ranks that watch each other: each writes where it stands, and a rank that hangs ends the job.

Each rank has a thread that writes its beats to a file in the run folder, which all of them see, and
reads those of the others. No time of day is compared, only what changes. The lowest rank that
beats pronounces the verdict. Every rank then writes down its stacks, the record says who hung and
where, and all processes end: one that waits in a collective for a rank that hangs cannot raise.
"""

import faulthandler
import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mixlab.callbacks.rank_marks import OUTSIDE, RankMarks
from mixlab.callbacks.uneven import UnevenBatches
from mixlab.checks import seconds_of
from mixlab.errors import print_error
from mixlab.runs import Run
from mixlab.runs.atomic import read_json
from mixlab.training.build import Experiment
from mixlab.training.rank_errors import RANKS_FOLDER, record_failure
from mixlab.training.verdict import Beat, Verdict, Watched, judge

BEATS_IN_LIMIT = 20
FASTEST_BEAT, SLOWEST_BEAT = 0.2, 10.0  # seconds between two
GRACE_OF_RANK = 3.0  # seconds to write its stacks, or to fail of another rank's error by itself
ENDING = 20.0  # seconds in which the record is written and rank 0 ends
FRAMES = 12  # lines of the stack of a rank that waits
# Asks a process for its stacks; no scheduler sends it. A real-time signal, where there are any.
DUMP = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2


@contextmanager
def watching_ranks(run: Run, experiment: Experiment, close: Callable[[], object]) -> Iterator[None]:
    """Within, several ranks watch each other; a single process is left alone.

    Args:
        close: called before rank 0 ends the process.
    """
    trainer, marks = experiment.trainer, RankMarks()
    if trainer.world_size == 1:
        yield
        return
    callbacks: list[Any] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    place = callbacks.index(experiment.record)  # see `RankMarks`
    callbacks[place:place] = [UnevenBatches(), marks]
    limit = seconds_of(run.cfg.get("rank_timeout"))
    watch = RankWatch(run.folder, trainer.global_rank, limit, marks, close)
    watch.start()
    try:
        yield
    finally:
        watch.stop()


class RankWatch(threading.Thread):
    """One rank's thread; `stop` is called when its training is over or has raised."""

    def __init__(
        self,
        folder: Path,
        rank: int,
        limit: float | None,
        marks: RankMarks,
        close: Callable[[], object],
    ) -> None:
        super().__init__(daemon=True, name="rank-watch")
        self.folder, self.home, self.rank = folder, folder / RANKS_FOLDER, rank
        self.limit, self.marks, self.close = limit, marks, close
        self.period = min(max((limit or 1000) / BEATS_IN_LIMIT, FASTEST_BEAT), SLOWEST_BEAT)
        self.watched = Watched(limit or 1000)
        self.process = this_process()
        self._number, self._next = 0, 0.0
        self._heard: dict[int, Beat] = {}  # the last readable beat of each rank
        self._stopped, self._ending = threading.Event(), threading.Lock()
        self.home.mkdir(exist_ok=True)
        for old in self.home.glob(f"{rank}.*"):
            old.unlink()
        self.stacks = open(self.home / f"{rank}.stack", "ab", buffering=0)
        faulthandler.register(DUMP, file=self.stacks, all_threads=True)  # loader workers inherit it
        self.beat()  # before it trains: a rank that is stopped at once has begun

    def stop(self) -> None:
        """No verdict is about this rank any more. Does not return if it is being carried out."""
        with self._ending:
            self._stopped.set()
        self.beat_file(self.rank).unlink(missing_ok=True)
        faulthandler.unregister(DUMP)
        self.stacks.close()

    def run(self) -> None:
        while not self._stopped.wait(min(self.period, 1.0)):
            try:
                self.step(time.monotonic())
            except OSError:  # a disk that refuses for a while is no reason to end a training
                self.watched = Watched(self.watched.limit)

    def step(self, now: float) -> None:
        """Obey a verdict or another rank's error; beat and judge, if it is time."""
        if given := self.pronounced():
            self.carry_out(*given)
        first = read_json(self.home / "error.json")
        if self.rank == 0 and first and first["rank"] != 0:
            self.take_over(first)
        if now < self._next:
            return
        self._next = now + self.period
        self.beat()
        seen = self.watched.look(beats := self.beats(), now)
        verdict = judge(seen, self.limit) if self.limit else None
        if verdict and self.rank == recorder_of(verdict, seen):
            processes = [beat.process for beat in beats.values()]
            facts = {**asdict(verdict), "recorder": self.rank, "processes": processes}
            replace_file(self.home / "verdict.json", json.dumps(facts))

    def beat_file(self, rank: int) -> Path:
        return self.home / f"{rank}.beat"

    def beat(self) -> None:
        """Write this rank's next beat, in place: it takes no room on a full disk."""
        self._number += 1
        beat = Beat(self._number, **vars(self.marks.mark), **self.process)
        mode = "r+" if self.beat_file(self.rank).exists() else "w"
        with open(self.beat_file(self.rank), mode, encoding="utf-8") as file:
            file.write(json.dumps(asdict(beat)).ljust(1000))

    def beats(self) -> dict[int, Beat]:
        """The last beat of each rank that has begun and has not ended."""
        found = {}
        for file in self.home.glob("*.beat"):
            rank = int(file.stem)
            with suppress(FileNotFoundError):  # it has just ended
                text = file.read_text(encoding="utf-8")
                # One that was stopped while it wrote has not ended.
                self._heard[rank] = beat_of(text) or self._heard.get(rank, Beat(0, where=OUTSIDE))
                found[rank] = self._heard[rank]
        return found

    def pronounced(self) -> tuple[Verdict, int] | None:
        """The verdict about this very process and its companions, and who records it."""
        facts = read_json(self.home / "verdict.json")
        if list(self.process.values()) not in facts.get("processes", []):
            return None
        verdict = Verdict(tuple(facts["guilty"]), facts["silent"], facts["where"])
        return verdict, facts["recorder"]

    def carry_out(self, verdict: Verdict, recorder: int) -> None:
        """Write the stacks down, record the failure, and end this process."""
        with self._ending:
            if self._stopped.is_set():
                return
            self.dump()
            sentence = verdict.sentence(self.limit or 0)
            if self.rank == recorder:
                beats = self.beats()
                self.wake(verdict, beats)
                with suppress(OSError):  # the job ends even where the disk is full
                    record_failure(self.folder, sentence, self.report(sentence, verdict, beats))
                    (self.home / "recorded").touch()
                self.end_silent(verdict, beats)
            until((self.home / "recorded").exists, ENDING)
            self.leave(sentence, 1)

    def take_over(self, first: dict[str, Any]) -> None:
        """Record another rank's error, for this one may wait for that rank without end."""
        self._stopped.wait(GRACE_OF_RANK)  # it may also fail by itself, and end in good order
        with self._ending:
            if self._stopped.is_set():
                return
            text, user_error = first["traceback"], first["user_error"]
            with suppress(OSError):
                record_failure(self.folder, first["error"], text, user_error)
            if not user_error:
                print(text, file=sys.stderr, flush=True)
            place = f"{first['place']}: " if first["place"] else ""
            self.leave(place + first["error"], 2 if user_error else 1)

    def leave(self, sentence: str, status: int) -> None:
        """End this process: rank 0 with a sentence, the others when rank 0 has ended."""
        if self.rank == 0:
            print_error("mixlab-train", sentence)
            closing = threading.Thread(target=self.close, daemon=True)
            closing.start()
            closing.join(ENDING / 2)
        else:
            time.sleep(ENDING)  # who started the ranks ends this one, too
        os._exit(status)

    def dump(self) -> None:
        """Write the stacks of this process and of its loader workers to the rank's file."""
        os.write(self.stacks.fileno(), b"the process itself\n")
        faulthandler.dump_traceback(self.stacks, all_threads=True)
        for worker in multiprocessing.active_children():
            os.write(self.stacks.fileno(), b"\na loader worker\n")
            with suppress(ProcessLookupError):
                os.kill(worker.pid or os.getpid(), DUMP)
            time.sleep(0.1)
            worker.kill()  # one that loops without end does not see that this process is gone
        (self.home / f"{self.rank}.dumped").touch()

    def wake(self, verdict: Verdict, beats: dict[int, Beat]) -> None:
        """Wait for the stacks of the others; a rank that was stopped goes on to write its own."""
        here = [beats[rank] for rank in verdict.guilty if rank in beats and is_here(beats[rank])]
        for beat in here if verdict.silent else ():
            os.kill(beat.pid, signal.SIGCONT)
        files = [self.home / f"{rank}.dumped" for rank in beats]
        if until(lambda: all(file.exists() for file in files), GRACE_OF_RANK) or not verdict.silent:
            return
        for beat in here:  # its threads do not run: some C code keeps Python's lock
            if is_here(beat):
                os.kill(beat.pid, DUMP)
        time.sleep(0.5)

    def end_silent(self, verdict: Verdict, beats: dict[int, Beat]) -> None:
        """Kill ranks that did not beat, on this machine; rank 0 may end by itself."""
        for rank in verdict.guilty if verdict.silent else ():
            beat = beats.get(rank, Beat(0))
            until(lambda beat=beat: not is_here(beat), ENDING if rank == 0 else 0)
            if is_here(beat):
                os.kill(beat.pid, signal.SIGKILL)

    def report(self, sentence: str, verdict: Verdict, beats: dict[int, Beat]) -> str:
        """What `error.txt` says: whole stacks of who hangs, the main thread of the others."""
        suspects = verdict.guilty or tuple(sorted(beats))
        parts = [sentence]
        for rank in sorted(beats, key=lambda rank: (rank not in suspects, rank)):
            file = self.home / f"{rank}.stack"
            text = file.read_text(errors="replace") if file.exists() else ""
            text = text if rank in suspects else main_thread(text)
            text = text or "no stack: the process was stopped, or its machine is gone\n"
            parts.append(f"rank {rank}, at {beats[rank].where}:\n{text}")
        return "\n\n".join(parts)


def beat_of(text: str) -> Beat | None:
    """What a rank wrote, None if that is incomplete."""
    try:
        facts = json.loads(text)
    except ValueError:
        return None
    return Beat(**{**facts, "order": tuple(facts["order"])})


def recorder_of(verdict: Verdict, seen: dict[int, Any]) -> int | None:
    """The lowest rank that can write."""
    return min(
        (rank for rank in seen if not (verdict.silent and rank in verdict.guilty)), default=0
    )


def main_thread(stacks: str) -> str:
    """The first frames of a process's main thread, the last that faulthandler writes."""
    own = stacks.partition("a loader worker")[0].strip()
    return "\n".join(own.split("\n\n")[-1].splitlines()[:FRAMES])


def until(holds: Callable[[], object], seconds: float) -> bool:
    """Wait until something holds; whether it did in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= end:
            return False
        time.sleep(0.05)
    return True


def this_process() -> dict[str, Any]:
    """What tells this process from every other, on any machine."""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")  # containers number their processes anew
        host = f"{socket.gethostname()} {space}"
        return {"host": host, "pid": os.getpid(), "born": born(os.getpid())}
    return {"host": socket.gethostname(), "pid": os.getpid(), "born": ""}


def born(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty where there is none."""
    with suppress(OSError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]
    return ""


def is_here(beat: Beat) -> bool:
    """Whether the process that beat lives on this machine."""
    here = this_process()["host"] == beat.host
    return here and beat.born != "" and born(beat.pid) == beat.born


def replace_file(file: Path, text: str) -> None:
    """Write a file so that a reader finds it complete."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    os.replace(part, file)
