"""Jobs of a sweep, each in a process of its own, a limited number at a time.

The processes come from a fork server that has imported everything already, so a job starts within
hundredths of a second. A hard death ends one job. If the server itself dies, its jobs are started
again with a new server, and resume from their checkpoints.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from typing import Any

from mixlab.errors import UserError
from mixlab.runs.locks import is_running
from mixlab.signals import Stop, stopping
from mixlab.sweeps.progress import Progress
from mixlab.sweeps.worker import JobSpec, run_job

PRELOAD = ["mixlab.sweeps.server", "mixlab.training.fit", "mixlab.train", "mixlab.pictures"]
LIBRARIES = {  # large, imported only where a configuration names what needs them
    "mixlab.data.Digits": "sklearn.datasets",
    "Timm": "timm",
    "WandbRun": "wandb",
}
GRACE = 60.0  # seconds that a job has to save and stop after the first Ctrl-C
LOST = 20  # jobs that may lose their fork server before the sweep gives up
DYING = 0.2  # seconds between tries: a killed server counts as there until the kernel has freed it
UNKNOWN = 255  # multiprocessing's exit code when the fork server that would know it is gone


def run_all(
    specs: Iterable[JobSpec],
    slots: list[dict[str, str]],
    progress: Progress,
    task: Callable[[JobSpec], None] = run_job,
) -> None:
    """Run every job, as many at once as there are slots.

    Args:
        slots: Environment variables for each job that runs at the same time (a GPU, for example).
        progress: Told of each start, and of each end with its exit code.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when all jobs have ended. The first signal asks
            them to save and stop, the second kills them.
        UserError: the fork server was killed again and again.
    """
    waiting = deque(specs)
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # the server must not touch a GPU
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOAD, *libraries(waiting)])
    with stopping() as stop:
        pool = ProcessPool(context, task, progress, stop, waiting, list(reversed(slots)))
        try:
            pool.run()
        except KeyboardInterrupt:
            progress.say("ending at once")
        finally:
            pool.end()
        if stop.asked:
            raise KeyboardInterrupt


@dataclass(frozen=True)
class RunningJob:
    """A process that works on a job in a slot."""

    process: ForkServerProcess
    spec: JobSpec
    slot: dict[str, str]


@dataclass
class ProcessPool:
    """The jobs that wait and those that run."""

    context: Any
    task: Callable[[JobSpec], None]
    progress: Progress
    stop: Stop
    waiting: deque[JobSpec]
    free: list[dict[str, str]]
    running: dict[int, RunningJob] = field(default_factory=dict)  # by the process's sentinel
    lost: int = 0

    def run(self) -> None:
        """Run until no job waits or runs; KeyboardInterrupt when the grace period is over."""
        deadline = None
        while self.running or (self.waiting and not self.stop.asked):
            while self.waiting and self.free and not self.stop.asked:
                self.begin(self.waiting.popleft(), self.free.pop())
            patience = None if deadline is None else max(0.0, deadline - time.monotonic())
            for ready in wait([*self.running, self.stop.reader], patience):
                if ready == self.stop.reader:
                    self.ask_to_stop()
                    deadline = time.monotonic() + GRACE
                else:
                    self.collect(self.running.pop(ready))  # pyright: ignore[reportArgumentType]
            if deadline is not None and time.monotonic() > deadline:
                raise KeyboardInterrupt

    def begin(self, spec: JobSpec, slot: dict[str, str]) -> None:
        """Start a job's process unless asked to stop; with a new fork server if it has died."""
        inside = replace(spec, environment={**spec.environment, **slot})
        while not self.stop.asked:
            process = self.context.Process(target=self.task, args=(inside,), daemon=False)
            try:
                with nameless_main():
                    process.start()
            except (EOFError, ConnectionError):
                self.lose_server()
                time.sleep(DYING)
                continue
            self.running[process.sentinel] = RunningJob(process, spec, slot)
            self.progress.begun(spec)
            return
        self.waiting.appendleft(spec)
        self.free.append(slot)

    def collect(self, job: RunningJob) -> None:
        """Handle a job whose process has ended, or whose fork server has."""
        job.process.join()
        orphan = job.process.exitcode == UNKNOWN and is_alive(job.process)
        kill(job)
        self.free.append(job.slot)
        if orphan and not self.stop.asked:
            self.lose_server()
            for _ in range(100):  # until the kernel has released the killed job's lock
                if not is_running(job.spec.folder):
                    break
                time.sleep(0.05)
            self.waiting.appendleft(job.spec)
        else:
            self.progress.done(job.spec, job.process.exitcode or 0, self.stop.asked)
        job.process.close()  # frees file descriptors without waiting for garbage collection

    def lose_server(self) -> None:
        """Report a dead fork server, and give up after too many."""
        self.lost += 1
        self.progress.say("the process that starts the jobs was killed: there is a new one")
        if self.lost > LOST:
            raise UserError(
                "the process that starts the jobs was killed again and again (out of memory?); "
                "the same command resumes each run"
            )

    def ask_to_stop(self) -> None:
        """Send SIGTERM to each job, which then saves a checkpoint."""
        self.stop.acknowledge()
        for job in self.running.values():
            job.process.terminate()
        self.progress.say(
            "stopping: each job saves a checkpoint (Ctrl-C again to end them at once)"
        )

    def end(self) -> None:
        """Kill the jobs that still run."""
        for job in self.running.values():
            kill(job)
        while self.running:
            _, job = self.running.popitem()
            job.process.join()
            self.progress.done(job.spec, job.process.exitcode or 0, True)


def kill(job: RunningJob) -> None:
    """Kill a job's process group: with its loader workers and its other ranks."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(job.process.pid or 0, signal.SIGKILL)
    job.process.kill()  # a process that has just started leads no group yet


def is_alive(process: ForkServerProcess) -> bool:
    """Whether the process exists, without asking the fork server."""
    with suppress(ProcessLookupError):
        os.kill(process.pid or 0, 0)
        return True
    return False


def libraries(specs: Iterable[JobSpec]) -> list[str]:
    """The large libraries that the jobs need, to be imported once for all of them."""
    texts = {spec.config for spec in specs}
    return [library for word, library in LIBRARIES.items() if any(word in text for text in texts)]


@contextmanager
def nameless_main() -> Iterator[None]:
    """Within, a child does not import this program's main module again."""
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
