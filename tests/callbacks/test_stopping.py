"""A signal sets a flag, the batch's end saves and stops; test_resume.py tests what is saved."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers.small_runs import Plain, SignalAt, loader_of_lists, trainer
from mixlab.callbacks import GracefulStop, Interrupted
from mixlab.errors import exit_status


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def in_batch(**facts: Any) -> Any:
    usual = {"world_size": 1, "is_last_batch": False, "accumulate_grad_batches": 1}
    loop = SimpleNamespace(_data_fetcher=None)
    return SimpleNamespace(
        **{**usual, "fit_loop": loop, "global_step": 1, "max_steps": -1, **facts}
    )


def stop_after(stop: GracefulStop, batch_idx: int = 0, **facts: Any) -> list[Path]:
    """End a batch; the checkpoints that were saved."""
    saved: list[Path] = []
    stop.on_train_batch_end(
        in_batch(save_checkpoint=saved.append, **facts), Any, None, None, batch_idx
    )
    return saved


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(tmp_path: Path, signum: signal.Signals) -> None:
    last = tmp_path / "last.ckpt"
    run = trainer(tmp_path, GracefulStop(last), SignalAt(1, 0, signum))
    with pytest.raises(
        Interrupted, match=f"by {signum.name}; the same command resumes it"
    ) as error:
        run.fit(Plain(), loader_of_lists())
    assert last.exists() and run.global_step == 5
    assert exit_status(error.value) == 128 + signum


def test_no_signal_no_stop(tmp_path: Path) -> None:
    assert stop_after(GracefulStop(tmp_path)) == []


@pytest.mark.parametrize(
    "facts",
    [{"is_last_batch": True}, {"accumulate_grad_batches": 2}, {"max_steps": 1}],
    ids=["epoch", "gradients", "end"],
)
def test_the_stop_waits(tmp_path: Path, facts: dict[str, Any]) -> None:
    stop = GracefulStop(tmp_path)
    stop.asked = signal.SIGTERM
    assert stop_after(stop, **facts) == []
    with pytest.raises(Interrupted):
        stop_after(stop, batch_idx=1)


def test_epochs_of_one_batch_stop_between_two(tmp_path: Path) -> None:
    run = trainer(tmp_path, GracefulStop(tmp_path / "last"), SignalAt(1, 0), max_epochs=5)
    with pytest.raises(Interrupted):
        run.fit(Plain(), loader_of_lists(rows=8))
    assert run.current_epoch == 2 and not (tmp_path / "last").exists()


def test_one_rank_stops_all(tmp_path: Path) -> None:
    def any_rank(asked: bool, all: bool) -> bool:
        return True

    strategy = SimpleNamespace(reduce_boolean_decision=any_rank)
    with pytest.raises(Interrupted) as error:
        stop_after(GracefulStop(tmp_path), world_size=2, strategy=strategy)
    assert error.value.signum == signal.SIGTERM


def test_a_second_ctrl_c_stops_at_once_if_it_is_no_echo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = GracefulStop(tmp_path)
    stop.on_train_start(in_batch(), Any)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked == signal.SIGINT
    monkeypatch.setattr("mixlab.callbacks.stopping.ECHO", 0)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("hook", ["on_train_end", "on_exception"])
def test_handlers_are_let_go_at_the_end(tmp_path: Path, hook: str) -> None:
    stop = GracefulStop(tmp_path)
    stop.on_train_start(in_batch(), Any)
    getattr(stop, hook)(Any, Any, *([KeyError()] if hook == "on_exception" else []))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_a_thread_leaves_the_handlers_alone(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=GracefulStop(tmp_path).on_train_start, args=(in_batch(), Any))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == before
