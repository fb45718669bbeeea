"""One of two ranks stops, loops without end, or raises: the job ends, and says which and where."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from faults.conftest import Injected
from faults.test_ranks import TWO, group_of
from helpers.commands import Command, make_lab, send, state, until
from helpers.small_runs import write_lab
from mixlab.runs.atomic import read_json

LIMIT = "rank_timeout=5s"
MYLAB = '''
import os
from pathlib import Path
import torch

class Rows(torch.utils.data.Dataset):
    """Images; row 41, which rank 1 loads, does what the file `fault` says."""

    classes = ["a", "b", "c", "d"]

    def __len__(self):
        return 64

    def __getitem__(self, row):
        loads = torch.utils.data.get_worker_info() is not None
        if row == 41 and loads and os.environ.get("LOCAL_RANK") == "1" and Path("fault").exists():
            TRANSFORMS[Path("fault").read_text()]()
        return torch.full((1, 16, 16), row, dtype=torch.uint8), row % 4

def turns_for_ever():
    while True:
        pass

def divides_by_zero():
    return 1 / 0

def refuses():
    from mixlab.errors import UserError
    raise UserError("row 41 is broken; remove it")

TRANSFORMS = {each.__name__: each for each in (turns_for_ever, divides_by_zero, refuses)}
'''
ROWS = (
    "--config-dir=conf", "allow=[mylab]", "data=torch", "data.source.train._target_=mylab.Rows",
    "data.num_workers=1", "data.val_size=0", "data.batch_size=4", "data.shuffle=false",
    "test=false", "logger=csv", "threads=1", "trainer=ddp_sim", "trainer.max_epochs=2", LIMIT,
)  # fmt: skip
pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("rank", [0, 1])
def test_one_rank_is_stopped(tmp_path: Path, injected: Injected, rank: int) -> None:
    with Command(make_lab(tmp_path), *TWO, LIMIT, "trainer.max_epochs=300") as command:
        group = group_of(command)
        beats = f"{rank}.beat"  # the first is from before the training
        assert until(lambda: any("epoch" in each.read_text() for each in tmp_path.rglob(beats)), 60)
        send(group[rank], signal.SIGSTOP)
        assert until(lambda: state(group[rank]) == "T", 5)
        assert until(lambda: not set(group) & set(command.alive()), 120), command.said
        command.process.send_signal(signal.SIGTERM)  # the other run would take long
        command.wait()
        assert not command.left(), "no orphan"
    (one,) = tmp_path.glob("logs/runs/*/*/seed-0")
    record, text = read_json(one / "run.json"), (one / "error.txt").read_text()
    assert record["status"] == "failed"
    assert record["error"].startswith(f"rank {rank} has not answered for 5 s: it stood at epoch ")
    assert text.startswith(record["error"]) and text.count("most recent call first") > 2
    assert f"rank {rank}, at epoch" in text and f"rank {1 - rank}, at epoch" in text
    injected(
        f"SIGSTOP to rank {rank} of a DDP job in a sweep",
        1,
        "the job ends after `rank_timeout`; the record names the rank, its batch and its stack",
    )


def trained(folder: Path, fault: str, status: int) -> tuple[dict[str, Any], str, str]:
    """The record, `error.txt` and output of a run with a fault in a loader worker of rank 1."""
    if not (folder / "mylab.py").exists():
        write_lab(folder, MYLAB, "", "none_of_ours")
    (folder / "fault").write_text(fault)
    with Command(folder, *ROWS) as command:
        assert command.wait() == status, command.said
        assert not command.left(), "no orphan"
        said = command.said
    (file,) = folder.glob("logs/runs/*/*/seed-0/run.json")
    record = read_json(file)
    assert record["status"] == "failed"
    return record, file.with_name("error.txt").read_text(), said


def test_a_transform_of_rank_1_never_ends(tmp_path: Path, injected: Injected) -> None:
    record, text, said = trained(tmp_path, "turns_for_ever", 1)
    assert record["error"].startswith("rank 1 has not gone on for 5 s while the others waited")
    assert record["error"] in said and "it stood at epoch 0, batch 10 (" in record["error"]
    worker = text.partition("a loader worker")[2].partition("\n\nrank 0")[0]
    assert 'mylab.py", line 2' in worker and "in turns_for_ever" in worker
    (tmp_path / "fault").unlink()
    with Command(tmp_path, *ROWS) as command:
        assert command.wait() == 0, command.said
    injected(
        "an endless loop in a transform of rank 1",
        1,
        "ends after `rank_timeout`, status 1; `error.txt` has the function; the same command then "
        "finishes",
    )


def test_rank_1_alone_raises(tmp_path: Path, injected: Injected) -> None:
    record, text, said = trained(tmp_path, "divides_by_zero", 1)
    assert record["error"].startswith("rank 1: ZeroDivisionError") and not record["user_error"]
    assert 'mylab.py", line 25, in divides_by_zero' in text and "onnection" not in text
    assert "divides_by_zero" in said
    record, text, said = trained(tmp_path, "refuses", 2)
    assert record["error"] == "rank 1: row 41 is broken; remove it" and record["user_error"]
    assert said.splitlines()[-1] == "mixlab-train: rank 1: row 41 is broken; remove it"
    injected(
        "an exception in rank 1 alone", 2, "the record has its sentence, `error.txt` its traceback"
    )


def test_a_job_that_is_suspended_as_a_whole_goes_on(tmp_path: Path, injected: Injected) -> None:
    words = [word for word in TWO if word != "-m" and not word.startswith(("seeds", "hydra"))]
    with Command(make_lab(tmp_path), *words, "rank_timeout=2s") as command:
        assert until(lambda: any(tmp_path.rglob("epochs-1.txt")), 280), command.said
        os.killpg(command.process.pid, signal.SIGSTOP)
        assert not until(lambda: command.process.poll() is not None, 5)
        os.killpg(command.process.pid, signal.SIGCONT)
        assert command.wait() == 0, command.said
    injected("SIGSTOP, 5 s, SIGCONT to both ranks, with `rank_timeout=2s`", 1, "it finishes")
