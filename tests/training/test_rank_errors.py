"""The first error of all ranks is the one that is reported."""

import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mixlab.callbacks import Diverged
from mixlab.errors import UserError
from mixlab.training import rank_errors
from mixlab.training.rank_errors import RankFailed, first_error, told


def run(folder: Path, own: bool = True) -> Any:
    return SimpleNamespace(folder=folder, is_own=own)


def failing(error: Exception) -> Exception:
    """An error with a traceback that names this function."""
    try:
        raise error
    except Exception as raised:
        return raised


def test_the_first_stays(tmp_path: Path) -> None:
    assert told(tmp_path, 2, failing(ValueError("a")))["error"] == "rank 2: ValueError: a"
    assert told(tmp_path, 1, failing(UserError("b")))["error"] == "rank 2: ValueError: a"


def test_one_process_raises_what_it_raised(tmp_path: Path) -> None:
    with pytest.raises(KeyError), first_error(run(tmp_path)):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_rank_0_raises_what_another_rank_raised_first(tmp_path: Path) -> None:
    with pytest.raises(RankFailed) as caught, first_error(run(tmp_path)):
        told(tmp_path, 1, failing(ValueError("of rank 1")))
        raise RuntimeError("connection closed by peer")
    text = "".join(traceback.format_exception(caught.value))
    assert str(caught.value) == "rank 1: ValueError: of rank 1"
    assert "in failing" in text and "connection closed" not in text


def test_what_a_user_can_fix_stays_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="^rank 1: x.png is broken$"), first_error(run(tmp_path)):
        told(tmp_path, 1, failing(UserError("x.png is broken")))
        raise RuntimeError("connection closed by peer")


def test_what_all_raise_is_no_matter_of_ranks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^all$"), first_error(run(tmp_path)):
        told(tmp_path, 1, failing(ValueError("all")))
        raise ValueError("all")


def test_another_rank_stays_until_its_error_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(rank_errors.time, "sleep", slept.append)
    monkeypatch.setattr(rank_errors.rank_zero_only, "rank", 1)
    with pytest.raises(ValueError), first_error(run(tmp_path, own=False)):
        raise ValueError("of rank 1")
    assert slept == [rank_errors.STAYS]
    assert told(tmp_path, 0, ValueError("late"))["rank"] == 1


def test_what_all_ranks_do_together_is_no_error_of_one(tmp_path: Path) -> None:
    with pytest.raises(Diverged), first_error(run(tmp_path, own=False)):
        raise Diverged("the loss became nan")
    assert not list(tmp_path.iterdir())
