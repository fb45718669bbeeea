"""Two processes train each run of a sweep, and one of them dies."""

import os
import signal
import time
from pathlib import Path

import pytest

from faults.conftest import Injected
from helpers.commands import WORDS, Command, make_lab, until
from helpers.nothing_lost import nothing_lost

TWO = (*WORDS, "-m", "trainer=ddp_sim", "seeds=2", "trainer.max_epochs=6", "hydra.launcher.jobs=1")
pytestmark = pytest.mark.timeout(600)


def group_of(command: Command, epoch: int = 1) -> tuple[int, int]:
    """Ranks 0 and 1 of the job that runs, once it trains."""
    assert until(lambda: any(command.folder.rglob("epochs-1.txt")), 280), command.said
    logs = next(command.folder.rglob("epochs-1.txt"))
    assert until(lambda: len(logs.read_text().split()) > epoch), command.said
    (rank_0,), (rank_1,) = command.jobs(), command.ranks()
    assert os.getpgid(rank_1) == rank_0
    return rank_0, rank_1


@pytest.mark.parametrize("rank", [0, 1])
def test_one_rank_is_killed(tmp_path: Path, injected: Injected, rank: int) -> None:
    with Command(make_lab(tmp_path), *TWO) as command:
        group = group_of(command)
        began = time.monotonic()
        os.kill(group[rank], signal.SIGKILL)
        assert until(lambda: not set(group) & set(command.alive()), 60)
        seconds = time.monotonic() - began
        assert command.wait() == 1, command.said
        assert not command.left(), "no orphan"
        said = command.said
    one, other = nothing_lost(tmp_path / "logs" / "sweeps" / "train", planned=2).values()
    assert (one["status"], other["status"]) == ("failed", "finished") and one["devices"] == 2
    assert "1 of 2 runs finished" in said and "failed: logs/runs/" in said
    assert seconds < 60
    injected(
        f"SIGKILL to rank {rank} of a DDP job in a sweep",
        1,
        "the job ends within 60 s, recorded as failed; no orphan; the next one finishes; status 1",
    )


def test_the_launcher_of_two_ranks_is_killed(tmp_path: Path, injected: Injected) -> None:
    with Command(make_lab(tmp_path), *TWO, "trainer.max_epochs=10000") as command:
        group_of(command)
        command.process.kill()
        command.process.wait()
        assert not command.left(), "no orphan, of either rank"
    injected("SIGKILL to the launcher of a DDP job", 1, "both ranks end within 20 s")


def test_rank_0_of_a_single_run_is_killed(tmp_path: Path, injected: Injected) -> None:
    words = [word for word in TWO if word != "-m" and not word.startswith(("seeds", "hydra"))]
    with Command(make_lab(tmp_path), *words, "trainer.max_epochs=10000") as command:
        assert until(lambda: any(tmp_path.rglob("epochs-1.txt")), 280), command.said
        command.process.kill()
        assert command.wait() == -signal.SIGKILL
        assert not command.left(), "no orphan"
    injected("SIGKILL to rank 0 of a DDP run without a sweep", 1, "rank 1 ends within 20 s")
