"""Who hangs, given what each rank's beats say."""

from dataclasses import replace
from typing import Any

import pytest

from mixlab.callbacks.rank_marks import OUTSIDE, Mark
from mixlab.training.verdict import Beat, Seen, Verdict, Watched, judge

LIMIT = 60.0
LOADS, STEPS, WAITS = (1, 2, 14, 0, 0, 0), (1, 2, 14, 1, 0, 0), (1, 2, 14, 2, 0, 0)


def seen(order: tuple = WAITS, silent: float = 1, still: float = 70, patience: int = 1) -> Seen:
    where = f"point {order[3]}" if order else OUTSIDE
    return Seen(Beat(5, order, where, patience), silent, still)


@pytest.mark.parametrize(
    ("ranks", "verdict"),
    [
        # One rank stands behind, and the others wait for it.
        ([seen(), seen(LOADS)], Verdict((1,), False, "point 0")),
        ([seen(STEPS), seen(), seen()], Verdict((0,), False, "point 1")),
        ([seen(LOADS), seen(), seen(LOADS)], Verdict((0, 2), False, "point 0")),
        ([seen(LOADS), seen()], Verdict((0,), False, "point 0")),
        # Nobody can tell who.
        ([seen(), seen()], Verdict((), False, "point 2")),
        ([seen()], Verdict((0,), False, "point 2")),  # the others have ended
        # Somebody goes on, or the time is not over.
        ([seen(), seen(LOADS, still=59)], None),
        ([seen(still=10), seen(LOADS, still=500)], None),
        # A first batch may take longer, where the one that is behind stands at it.
        ([seen(), seen(LOADS, patience=4)], None),
        ([seen(still=250), seen(LOADS, still=250, patience=4)], Verdict((1,), False, "point 0")),
        ([seen(patience=4), seen(LOADS)], Verdict((1,), False, "point 0")),
        # Outside of training and tests a rank may take its time, but not after them.
        ([seen(()), seen(())], None),
        ([seen(), seen(())], None),
        # Who does not even beat hangs wherever it stands, whatever the others do.
        ([seen(), seen(LOADS, silent=60)], Verdict((1,), True, "point 0")),
        ([seen((), silent=61), seen(still=0)], Verdict((0,), True, OUTSIDE)),
        ([seen(silent=61), seen(silent=61), seen()], Verdict((0, 1), True, "point 2")),
        ([seen(), seen(LOADS, silent=40)], None),
        ([seen(silent=59), seen(LOADS, silent=59, still=0)], None),
        ([], None),
    ],
)
def test_a_verdict(ranks: list[Seen], verdict: Verdict | None) -> None:
    assert judge(dict(enumerate(ranks)), LIMIT) == verdict


def test_its_sentence() -> None:
    where = "epoch 2, batch 14 (x)"
    silent = Verdict((1,), True, where).sentence(300)
    assert silent == f"rank 1 has not answered for 5 min: it stood at {where}; see error.txt"
    assert "rank 1 has not gone on for 90 s while" in Verdict((1,), False, where).sentence(90)
    assert Verdict((0, 2), False, where).sentence(1).startswith("ranks 0 and 2 have not gone")
    assert Verdict((), False, where).sentence(7200).startswith("no rank has gone on for 2 h, all")


def looks(*times: float, **beats: list[Beat]) -> list[dict[int, Seen]]:
    """What a watcher sees at each time, where `r1` lists the beats of rank 1."""
    watched = Watched(LIMIT)
    return [
        watched.look({int(rank[1:]): every[n] for rank, every in beats.items()}, time)
        for n, time in enumerate(times)
    ]


def test_ages_count_from_the_changes_that_were_seen() -> None:
    first = Beat(4, LOADS)
    beats = [first, replace(first, number=5), replace(first, number=6, order=WAITS)]
    beats.append(beats[-1])
    found = looks(100, 110, 120, 130, r1=beats)
    ages = [(each[1].silent, each[1].still) for each in found]
    assert ages == [(0, 0), (0, 10), (0, 0), (10, 10)]


def test_who_is_stopped_before_a_second_look_is_judged() -> None:
    goes_on = [Beat(n, WAITS) for n in range(1, 6)]
    *_, last = looks(0, 20, 40, 60, 80, r0=goes_on, r1=[Beat(26, LOADS)] * 5)
    assert judge(last, LIMIT) == Verdict((1,), True, "")


def test_who_was_stopped_itself_looks_anew() -> None:
    beats: list[Any] = [Beat(1), Beat(2), Beat(2), Beat(2)]
    found = looks(0, 10, 1000, 1020, r1=beats)
    assert [each[1].silent for each in found[1:]] == [0, 0, 20]
    assert judge(found[2], LIMIT) is None


def test_a_rank_that_has_ended_is_not_judged() -> None:
    watched = Watched(LIMIT)
    for number in (1, 2):
        watched.look({0: Beat(number), 1: Beat(number)}, number)
    assert set(watched.look({0: Beat(3)}, 3)) == {0}


def test_a_mark_becomes_a_beat() -> None:
    mark = Mark((1, 0), "here", 4)
    assert Beat(1, **vars(mark)) == Beat(1, (1, 0), "here", 4)
