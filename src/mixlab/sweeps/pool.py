"""Jobs of a sweep, each in a process of its own, so many at a time.

The processes come from a fork server that has imported everything already, which makes a job cost
hundredths of a second. One hard death ends one job; if the server itself dies, the jobs it had
begun begin again with a new one, where their checkpoints are.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

from mixlab.errors import UserError
from mixlab.runs.locks import is_running
from mixlab.signals import Stop, stopping
from mixlab.sweeps.worker import JobSpec, run_job

PRELOAD = ["mixlab.sweeps.server", "mixlab.training.fit", "mixlab.train", "mixlab.pictures"]
LIBRARIES = {  # large, imported only where a configuration names what needs them
    "mixlab.data.Digits": "sklearn.datasets",
    "Timm": "timm",
    "WandbRun": "wandb",
}
GRACE = 60.0  # seconds that a job has to save and stop after the first Ctrl-C
LOST = 20  # jobs that may lose their fork server before it is no accident
UNKNOWN = 255  # multiprocessing's exit code where the fork server that would know it is gone


class Watcher(Protocol):
    """Who is told what becomes of the jobs."""

    def begun(self, ticket: JobSpec) -> None: ...

    def done(self, ticket: JobSpec, exit_code: int, stopped: bool) -> None: ...

    def say(self, line: str) -> None: ...


@dataclass(frozen=True)
class RunningJob:
    """A process that works on a ticket in a slot."""

    process: ForkServerProcess
    ticket: JobSpec
    slot: dict[str, str]


def run_all(
    tickets: Iterable[JobSpec],
    slots: list[dict[str, str]],
    watcher: Watcher,
    task: Callable[[JobSpec], None] = run_job,
) -> None:
    """Run every ticket, as many at once as there are slots.

    Args:
        slots: Environments of which each running job has one to itself (a GPU, say).
        watcher: Told of each beginning, and of each end with its exit code.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when all jobs have ended: the first asks them to
            save and stop, the second ends them at once.
        RuntimeError: one fork server after the other has died.
    """
    waiting = deque(tickets)
    with stopping() as stop:
        context = fork_server([*PRELOAD, *libraries(waiting)])
        crew = ProcessPool(context, task, watcher, stop, waiting, list(reversed(slots)))
        try:
            crew.run()
        except KeyboardInterrupt:
            watcher.say("ending at once")
        finally:
            crew.end()
        if stop.asked:
            raise KeyboardInterrupt


class ProcessPool:
    """The jobs that wait and those that run."""

    def __init__(
        self,
        context: Any,
        task: Callable[[JobSpec], None],
        watcher: Watcher,
        stop: Stop,
        waiting: deque[JobSpec],
        free: list[dict[str, str]],
    ) -> None:
        self.context, self.task, self.watcher, self.stop = context, task, watcher, stop
        self.waiting, self.free = waiting, free
        self.running: dict[int, RunningJob] = {}
        self.lost = 0

    def run(self) -> None:
        """Until no job waits or runs, or the time to stop in is over."""
        deadline = float("inf")
        while self.running or (self.waiting and not self.stop.asked):
            while self.waiting and self.free and not self.stop.asked:
                self.begin(self.waiting.popleft(), self.free.pop())
            for ready in wait([*self.running, self.stop.reader], self.patience(deadline)):
                if ready == self.stop.reader:
                    self.ask_to_stop()
                    deadline = time.monotonic() + GRACE
                else:
                    self.collect(self.running.pop(ready))  # pyright: ignore[reportArgumentType]
            if time.monotonic() > deadline:
                raise KeyboardInterrupt

    @staticmethod
    def patience(deadline: float) -> float | None:
        """Seconds to wait, without end where there is no deadline."""
        return None if deadline == float("inf") else max(0.0, deadline - time.monotonic())

    def begin(self, ticket: JobSpec, slot: dict[str, str]) -> None:
        """Start a job's process, with another fork server where one has died."""
        inside = replace(ticket, environment={**ticket.environment, **slot})
        while True:
            process = self.context.Process(target=self.task, args=(inside,), daemon=False)
            try:
                with nameless_main():
                    process.start()
                break
            except (EOFError, ConnectionError):
                self.lose_server()
        self.running[process.sentinel] = RunningJob(process, ticket, slot)
        self.watcher.begun(ticket)

    def collect(self, job: RunningJob) -> None:
        """A job's process has ended, or nobody is left who could say so."""
        job.process.join()
        orphan = job.process.exitcode == UNKNOWN and is_alive(job.process)
        kill(job)
        self.free.append(job.slot)
        if orphan and not self.stop.asked:
            self.lose_server()
            wait_until_free(job.ticket.folder)
            self.waiting.appendleft(job.ticket)
        else:
            self.watcher.done(job.ticket, job.process.exitcode or 0, self.stop.asked)
        job.process.close()  # a file descriptor or two, which would wait for the collector

    def lose_server(self) -> None:
        """Say so, and give up where it is a habit."""
        self.lost += 1
        self.watcher.say("the process that starts the jobs was killed: there is a new one")
        if self.lost > LOST:
            raise UserError(
                "the process that starts the jobs was killed again and again (out of memory?); "
                "the same command resumes each run"
            )

    def ask_to_stop(self) -> None:
        """SIGTERM to each job, and time to save."""
        self.stop.acknowledge()
        for job in self.running.values():
            job.process.terminate()
        self.watcher.say("stopping: each job saves a checkpoint (Ctrl-C again to end them at once)")

    def end(self) -> None:
        """End what still runs, at once."""
        for job in self.running.values():
            kill(job)
        while self.running:
            _, job = self.running.popitem()
            job.process.join()
            self.watcher.done(job.ticket, job.process.exitcode or 0, True)


def kill(job: RunningJob) -> None:
    """End a job with its loader workers and its other ranks, or what it has left of them."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(job.process.pid or 0, signal.SIGKILL)
    job.process.kill()  # one that has just begun leads no group yet


def wait_until_free(folder: Path) -> None:
    """Wait for the kernel to let go of a killed job's lock."""
    for _ in range(100):
        if not is_running(folder):
            return
        time.sleep(0.05)


def is_alive(process: ForkServerProcess) -> bool:
    """Whether the process is there, whatever the fork server would say."""
    with suppress(ProcessLookupError):
        os.kill(process.pid or 0, 0)
        return True
    return False


def libraries(tickets: Iterable[JobSpec]) -> list[str]:
    """Those that a job would spend its first second on."""
    texts = {ticket.config for ticket in tickets}
    return [library for word, library in LIBRARIES.items() if any(word in text for text in texts)]


def fork_server(modules: list[str]) -> Any:
    """A context whose server has modules loaded (torch, Lightning), and no GPU touched."""
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(modules)
    return context


@contextmanager
def nameless_main() -> Iterator[None]:
    """Within, a child does not import this program's own main module again."""
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name, None) for name in ("__file__", "__spec__")}
    try:
        main.__spec__ = None
        if kept["__file__"] is not None:
            del main.__file__
        yield
    finally:
        main.__spec__ = kept["__spec__"]
        if kept["__file__"] is not None:
            main.__file__ = kept["__file__"]
