"""The first signal asks, the second interrupts, and nothing is left behind."""

import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import wait

import pytest

from mixlab import signals
from mixlab.signals import stop_signals, stopping

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def hangups_end_the_process() -> Iterator[None]:
    """As usual, also where the tests themselves run under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("signum", ALL)
def test_the_first_asks_and_wakes_and_the_second_interrupts(
    signum: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "ECHO", 0)
    with stopping() as stop:
        assert not stop.asked and not wait([stop.reader], 0)
        os.kill(os.getpid(), signum)
        assert stop.asked and wait([stop.reader], 1) == [stop.reader]
        stop.acknowledge()
        assert not wait([stop.reader], 0), "once"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("signum", ALL)
def test_the_same_within_a_second_is_an_echo(signum: int) -> None:
    """`timeout` signals the command and its group."""
    other = signal.SIGINT if signum == signal.SIGTERM else signal.SIGTERM
    with stopping() as stop:
        for _ in range(3):
            os.kill(os.getpid(), signum)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), other)


def test_a_second_hangup_is_no_second_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "ECHO", 0)
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
    assert signal.SIGHUP in stop_signals()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert signal.SIGHUP not in stop_signals()
    with stopping():
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_another_thread_handles_no_signals() -> None:
    found: list[object] = ["nothing"]
    thread = threading.Thread(target=lambda: found.__setitem__(0, stop_signals()))
    thread.start()
    thread.join()
    assert found == [[]]
