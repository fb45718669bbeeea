"""The first signal asks, the second interrupts, and nothing is left behind."""

import os
import signal
import threading
from multiprocessing.connection import wait

import pytest

from mixlab.signals import stop_signals, stopping

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("signum", ALL)
def test_the_first_asks_and_wakes_and_the_second_interrupts(signum: int) -> None:
    with stopping() as stop:
        assert not stop.asked and not wait([stop.reader], 0)
        os.kill(os.getpid(), signum)
        assert stop.asked and wait([stop.reader], 1) == [stop.reader]
        stop.acknowledge()
        assert not wait([stop.reader], 0), "once"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_second_hangup_is_no_second_wish() -> None:
    with stopping() as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.asked


def test_handlers_are_as_before() -> None:
    before = [signal.getsignal(signum) for signum in ALL]
    with stopping():
        assert [signal.getsignal(signum) for signum in ALL] != before
    assert [signal.getsignal(signum) for signum in ALL] == before


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in stop_signals()
        with stopping():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.SIGHUP in stop_signals()


def test_another_thread_handles_no_signals() -> None:
    found: list[object] = ["nothing"]
    thread = threading.Thread(target=lambda: found.__setitem__(0, stop_signals()))
    thread.start()
    thread.join()
    assert found == [[]]
