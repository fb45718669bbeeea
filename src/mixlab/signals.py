"""Signals that ask to stop, and how a process hears them that waits for others."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """The first signal is noted, and wakes who waits on `reader`; the second interrupts.

    An exception at any line, from the first signal on, could lose a job that has just begun.
    """

    def __init__(self) -> None:
        self.asked = False
        self.reader, self._writer = os.pipe()

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.asked and signum != signal.SIGHUP:  # which a shell and the kernel both send
            raise KeyboardInterrupt
        if not self.asked:
            self.asked = True
            os.write(self._writer, b"\0")

    def heard(self) -> None:
        """Wake nobody for this signal again."""
        os.read(self.reader, 1)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self._writer)


def heeded() -> list[signal.Signals]:
    """The signals that ask this thread to stop; `nohup` has SIGHUP ignored, and it stays so."""
    if threading.current_thread() is not threading.main_thread():
        return []
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if ignored else [signal.SIGHUP])]


@contextmanager
def stopping() -> Iterator[Stop]:
    """Within, Ctrl-C, SIGTERM (a scheduler's last word) and SIGHUP (a closed terminal's) ask."""
    stop = Stop()
    before = {signum: signal.signal(signum, stop) for signum in heeded()}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        stop.close()
