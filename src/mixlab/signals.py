"""Signals that ask to stop, for a process that waits for others."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import FrameType

ECHO = 1.0  # seconds: `timeout` and others signal the command, and then its group with the same


class Stop:
    """The first signal makes `reader` readable; the second raises KeyboardInterrupt.

    If the first one raised, at any line, a job that has just started could be lost. The same signal
    within a second is the first one's echo.
    """

    def __init__(self) -> None:
        self.asked = False
        self._first, self._when = 0, 0.0
        self.reader, self._writer = os.pipe()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked, self._first, self._when = True, signum, time.monotonic()
            os.write(self._writer, b"\0")
            return
        echo = signum == self._first and time.monotonic() - self._when < ECHO
        if not echo and signum != signal.SIGHUP:  # a shell and the kernel may both send it, late
            raise KeyboardInterrupt

    def acknowledge(self) -> None:
        """Make `reader` wait again."""
        os.read(self.reader, 1)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self._writer)


def stop_signals() -> list[signal.Signals]:
    """The signals that ask this thread to stop; under `nohup`, SIGHUP stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return []
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if ignored else [signal.SIGHUP])]


@contextmanager
def stopping() -> Iterator[Stop]:
    """Within, Ctrl-C, SIGTERM (a scheduler) and SIGHUP (a closed terminal) ask to stop."""
    stop = Stop()
    before = {signum: signal.signal(signum, stop) for signum in stop_signals()}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        stop.close()


def end_with_parent() -> None:
    """End this process, and the group it leads, when the process that asked for it is gone.

    Otherwise a job would train as an orphan, and a rank would wait half an hour for its group.
    """
    launcher, parent = multiprocessing.parent_process(), os.getppid()

    def watch() -> None:
        if launcher is not None:  # a job's parent is the fork server, not the launcher
            wait([launcher.sentinel])
        else:
            while os.getppid() == parent:
                time.sleep(1)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
