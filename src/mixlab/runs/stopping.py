"""Ctrl-C and SIGTERM, heard by a process that waits for others."""

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
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        os.write(self._writer, b"\0")

    def heard(self) -> None:
        """Wake nobody for this signal again."""
        os.read(self.reader, 1)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self._writer)


@contextmanager
def stopping() -> Iterator[Stop]:
    """Within, SIGTERM (a scheduler's last word) and Ctrl-C ask to stop."""
    stop = Stop()
    heard = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGINT, signal.SIGTERM) if heard else ()
    before = {signum: signal.signal(signum, stop) for signum in signals}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        stop.close()
