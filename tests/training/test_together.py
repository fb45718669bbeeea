"""What ranks tell each other, with a store in memory in place of the network's."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from torch.distributed import HashStore, PrefixStore, rendezvous  # pyright: ignore

from helpers.small_runs import small
from mixlab.errors import Told, UserError
from mixlab.runs import Run
from mixlab.training import together
from mixlab.training.meeting import Meeting, RankZeroGone, use_port
from mixlab.training.ranks import Launch
from mixlab.training.together import (
    announce,
    check_all,
    end_after,
    facts_of,
    follow_run,
    lead_run,
    seen,
)


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> list[Meeting]:
    """The meetings of two ranks; nobody waits for long."""
    store = HashStore()
    found = [Meeting(Launch(rank, 2, "x", rank, 2), store) for rank in (0, 1)]
    monkeypatch.setattr(Meeting, "open", lambda launch: found[launch.rank])
    for name in ("WAIT", "SEEN", "LAST_WORDS"):
        monkeypatch.setattr(together, name, 0.3)
    return found


def two(folder: Path, *words: str) -> Any:
    return small(folder, "trainer=ddp_sim", *words)


def test_rank_0_waits_for_all(tmp_path: Path, both: list[Meeting]) -> None:
    own = facts_of(two(tmp_path), both[0].launch)
    with pytest.raises(UserError, match=r"rank 1 did not come within 0 s"):
        check_all(both[0], own)


def test_another_command_line(tmp_path: Path, both: list[Meeting]) -> None:
    own, other = (
        facts_of(two(tmp_path, f"mixing.probability={p}"), both[0].launch) for p in (0.5, 1)
    )
    both[1].tell("rank/1", own)
    check_all(both[0], own)
    both[1].tell("rank/1", other)
    with pytest.raises(UserError, match=r"mixing.probability is 0.5 in rank 0 and 1 in rank 1"):
        check_all(both[0], own)


def test_an_error_of_another_rank_is_rank_0s_to_print(
    tmp_path: Path, both: list[Meeting], capsys: pytest.CaptureFixture[str]
) -> None:
    both[1].tell("rank/1", {"error": "its own"})

    def train(*_: Any) -> Any:
        raise AssertionError("nothing is opened")

    with pytest.raises(Told):
        lead_run(two(tmp_path), both[0].launch, train)
    assert capsys.readouterr().err.strip().endswith(": rank 1: its own")
    with pytest.raises(Told) as caught:
        follow_run(two(tmp_path), both[1].launch)
    assert caught.value.exit_status == 2 and not capsys.readouterr().err
    assert not (tmp_path / "logs").exists()


def test_what_is_not_trained_has_the_same_results(tmp_path: Path, both: list[Meeting]) -> None:
    cfg, done = two(tmp_path), {"best": None, "last": {"val/loss": 1.5}}
    both[1].tell("rank/1", facts_of(cfg, both[1].launch))
    assert lead_run(cfg, both[0].launch, lambda *_: done) == done
    assert follow_run(cfg, both[1].launch) == done


def test_the_folder_is_announced_and_the_mark_removed(tmp_path: Path, both: list[Meeting]) -> None:
    cfg = two(tmp_path)
    both[1].tell("seen/1", {})
    with Run.open(cfg) as run:
        announce(both[0], run)
        assert run.is_untouched()
        begin = both[1].told("begin")
        assert begin["folder"] == str(run.folder) and both[1].told("go") is True
        assert OmegaConf.create(begin["config"]).trainer.devices == 2
        assert "does not see" in seen(begin, 1)["error"], "the mark of this launch is gone"
        (run.folder / ".launch").write_text(begin["token"])
        assert seen(begin, 1) == {}
        assert "rank 1 on" in seen({**begin, "last": "another checkpoint"}, 1)["error"]


def test_a_folder_that_is_not_seen(tmp_path: Path, both: list[Meeting]) -> None:
    both[1].tell("seen/1", {"error": "rank 1 on b does not see it"})
    with Run.open(two(tmp_path)) as run:
        with pytest.raises(UserError, match="rank 1 on b does not see it"):
            announce(both[0], run)
        assert run.is_untouched() and not both[1].knows("go")


def test_an_error_that_follows_from_rank_0s_end(
    both: list[Meeting], capsys: pytest.CaptureFixture[str]
) -> None:
    both[0].tell("end", {"status": 3, "error": "the loss became nan"})
    assert end_after(both[1], RuntimeError("connection closed"))["status"] == 3
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("status", "exits"), [(3, [3]), (0, [])])
def test_a_rank_that_waits_for_nobody_ends(
    both: list[Meeting], monkeypatch: pytest.MonkeyPatch, status: int, exits: list[int]
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(together.os, "_exit", codes.append)
    both[0].tell("end", {"status": status})
    with together.ending_with_rank_0(both[1]):
        until, wait = time.monotonic() + (5 if status else 0.5), time.sleep
        while codes != exits or (not exits and time.monotonic() < until):
            assert time.monotonic() < until
            wait(0.02)
    assert codes == exits


def test_an_error_of_a_rank_alone(both: list[Meeting], capsys: pytest.CaptureFixture[str]) -> None:
    end = end_after(both[1], ZeroDivisionError("in a transform"))
    assert end["status"] == 1
    assert "rank 1: this rank's error:" in (said := capsys.readouterr().err)
    assert "ZeroDivisionError: in a transform" in said


def test_a_host_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = Launch(1, 2, "x", address="no-such-host.invalid")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # and so put back
    with pytest.raises(RankZeroGone, match=r"no-such-host.invalid, the host of rank 0, is not"):
        Meeting.open(launch)


@pytest.fixture
def lobby(monkeypatch: pytest.MonkeyPatch) -> HashStore:
    """The store of a launch."""
    store = HashStore()
    monkeypatch.setattr("torch.distributed.rendezvous", lambda *_, **__: [(store, 0, 0)])
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
    return store


def opened(ranks: int = 2) -> list[Meeting]:
    """The meetings of all ranks, rank 0 waiting for the others."""
    leader = Meeting.open(Launch(0, ranks, "x"))
    with ThreadPoolExecutor(ranks) as pool:
        others = [pool.submit(Meeting.open, Launch(rank, ranks, "x")) for rank in range(1, ranks)]
        while not all(other.done() for other in others):
            leader.welcome()
    return [leader, *(other.result() for other in others)]


def test_two_runs_after_each_other(lobby: HashStore) -> None:
    """The second does not end as the first did."""
    for number in (0, 1):
        rank_0, rank_1 = opened()
        assert not rank_1.knows("end")
        rank_0.tell("end", number)
        assert rank_1.told("end") == number


def test_what_an_attempt_before_has_left_answers_nobody(lobby: HashStore) -> None:
    """Rank 0 has died while others asked and were told to train; its agent starts all again."""
    dead, *_ = opened(3)
    dead.tell("begin", {"folder": "elsewhere"})
    PrefixStore("mixlab/x", lobby).set("asks/2", "of a rank that is dead")
    with pytest.raises(RankZeroGone, match="rank 0 at 127.0.0.1 did not answer rank 1; see its"):
        Meeting.open(Launch(1, 3, "x"), seconds=0.3)
    rank_0, *others = opened(3)
    assert [each.knows("begin") for each in (rank_0, *others)] == [False] * 3
    rank_0.tell("begin", 1)
    assert [each.told("begin") for each in others] == [1, 1]


def test_rank_0_waits_for_those_that_come_late_to_a_mistake(lobby: HashStore) -> None:
    leader = Meeting.open(Launch(0, 3, "x"))
    with ThreadPoolExecutor(1) as pool:
        leaving = pool.submit(leader.leave)
        for rank in (1, 2):
            late = Meeting.open(Launch(rank, 3, "x"), seconds=20)
            assert not leaving.done()
            late.tell(f"rank/{rank}", {"error": "the same"})
        leaving.result(timeout=5)


def test_an_attempt_that_is_not_the_first_has_a_store_of_its_own(
    lobby: HashStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In that of torchrun, the process group has left the addresses of ranks that are dead."""
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    first, second = opened()[0], opened()[0]
    assert first.fresh_port() is None
    port = second.fresh_port()
    use_port(port)
    assert os.environ["MASTER_PORT"] == str(port)
    meet = [partial(rendezvous, f"tcp://127.0.0.1:{port}", rank, 2) for rank in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        one, other = (store for store, *_ in pool.map(lambda each: next(each()), meet))
    one.set("address", "of rank 0")
    assert other.get("address") == b"of rank 0"
    assert "TORCHELASTIC_USE_AGENT_STORE" not in os.environ
    on_srun = Meeting(Launch(0, 2, "x", launcher="srun"), lobby, PrefixStore("mixlab/x", lobby))
    assert on_srun.fresh_port() is None, "rank 0 serves each attempt there"


def test_rank_0_is_gone(both: list[Meeting], monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def check(self, keys: list[str]) -> bool:
            raise RuntimeError("Connection reset by peer")

    both[1].store = Gone()
    with pytest.raises(RankZeroGone, match=r"rank 0 at 127.0.0.1 ended without a word"):
        both[1].told("begin")


@pytest.mark.parametrize("last", ["left", "rank/1"])
def test_rank_0_leaves_quietly_when_the_store_has_ended(last: str) -> None:
    """At once: the others are gone with it. It ends before rank 0 leaves, or while it waits."""
    asked: list[str] = []

    class Gone:
        def add(self, key: str, amount: int) -> int:
            asked.append(key)
            if last == "left":
                raise RuntimeError("Connection reset by peer")
            return 1

        def check(self, keys: list[str]) -> bool:
            asked.extend(keys)
            raise RuntimeError("Connection reset by peer")

    meeting = Meeting(Launch(0, 2, "x"), Gone())
    meeting.lobby = Gone()
    meeting.welcome()
    assert asked[0] == "asked"
    meeting.leave()
    assert asked[-1] == last and asked.count(last) == 1
