"""Jobs of a sweep, each in a process of its own, so many at a time.

The processes come from a fork server that has imported everything already, which makes a job cost
hundredths of a second. One hard death ends one job.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from types import FrameType
from typing import Any

from mixlab.runs.job import Ticket, work

PRELOAD = ["mixlab.training", "mixlab.train", "mixlab.reporting.pictures"]
GRACE = 60.0  # seconds that a job has to save and stop after the first Ctrl-C


def run_all(
    tickets: Iterable[Ticket],
    slots: list[dict[str, str]],
    done: Callable[[Ticket, int], Any],
) -> None:
    """Run every ticket, as many at once as there are slots; `done(ticket, exit_code)` for each.

    Args:
        slots: Environments of which each running job has one to itself (a GPU, say).

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when all jobs have ended: the first asks them to
            save and stop, the second ends them at once.
    """
    waiting = list(reversed(list(tickets)))
    running: dict[int, tuple[ForkServerProcess, Ticket, dict[str, str]]] = {}
    free = list(reversed(slots))
    with terminated_like_ctrl_c(), fork_server() as context:
        try:
            while waiting or running:
                while waiting and free:
                    slot, ticket = free.pop(), waiting.pop()
                    process = start(context, ticket, slot)
                    running[process.sentinel] = (process, ticket, slot)
                for sentinel in wait(list(running)):
                    process, ticket, slot = running.pop(sentinel)  # pyright: ignore
                    free.append(slot)
                    done(ticket, end(process))
        except KeyboardInterrupt:
            stop([process for process, _, _ in running.values()])
            for process, ticket, _ in running.values():
                done(ticket, end(process))
            raise


def start(context: Any, ticket: Ticket, slot: dict[str, str]) -> ForkServerProcess:
    """A job's process, begun."""
    ticket = Ticket(ticket.config, ticket.folder, {**ticket.environment, **slot})
    process = context.Process(target=work, args=(ticket,), daemon=False)
    with nameless_main():
        process.start()
    return process


def end(process: ForkServerProcess) -> int:
    """Collect a process and whatever its group has left behind; its exit code."""
    process.join()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    return process.exitcode or 0


def stop(processes: list[ForkServerProcess]) -> None:
    """SIGTERM to each job, and time to save; a second Ctrl-C or the end of the time: SIGKILL."""
    print("stopping: each job saves a checkpoint (Ctrl-C again to end them at once)", flush=True)
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE
    try:
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    except KeyboardInterrupt:
        print("ending at once", flush=True)
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid or 0, signal.SIGKILL)


@contextmanager
def terminated_like_ctrl_c() -> Iterator[None]:
    """SIGTERM, which a scheduler sends at the end of its patience, interrupts as Ctrl-C does."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def fork_server() -> Iterator[Any]:
    """A context whose server has torch and Lightning loaded, and no GPU touched."""
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    yield context


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
