"""Ranks that torchrun or srun started train one run, whatever happens to them."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.small_runs import SMALL, console, differences, inside, write_lab
from mixlab.runs.atomic import read_json
from mixlab.runs.checkpoints import load_checkpoint

MYLAB = '''
import os, signal, time
from pathlib import Path
import pytorch_lightning as pl

class Trouble(pl.Callback):
    """In the middle of epoch 1, once: rank 1 dies, or rank 0 asks for a stop."""

    def __init__(self):
        if Path("late").exists() and os.environ.get("RANK") == "1":
            time.sleep(5)  # so rank 0 is first, and looks for rank 1 where it was before it died

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) != (1, 1):
            return
        if trainer.global_rank == 1 and Path("die").exists():
            Path("die").rename("late")
            os.kill(os.getpid(), signal.SIGKILL)
        if trainer.global_rank == 0 and Path("stop").exists():
            launcher = "TORCHELASTIC_RUN_ID" in os.environ
            Path("stop").unlink()
            os.kill(os.getppid() if launcher else os.getpid(), signal.SIGTERM)
'''
CALLBACKS = "defaults: [default]\ntrouble:\n  _target_: mylab.Trouble\n"
TWO = (*SMALL, "--config-dir=conf", "callbacks=trouble", "allow=[mylab]", "logger=csv",
       "trainer=ddp_sim")  # fmt: skip
WITH_BUFFERS = ("model=cnn_bn", "trainer.gradient_clip_val=1")
FSDP = (*TWO, *WITH_BUFFERS, "trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2")
EQUAL = ("state_dict", "optimizer_states", "loops", "global_step")
TRAIN = ("-m", "mixlab.train")
pytestmark = pytest.mark.timeout(400)


def make_lab(folder: Path) -> Path:
    return write_lab(folder, MYLAB, CALLBACKS, "trouble")


@pytest.fixture
def lab(here: Path) -> Path:
    return make_lab(here)


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    """torchrun with the default group of callbacks and so on last, as the tests give it."""
    command = [sys.executable, "-m", "torch.distributed.run", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=480, check=False)


def two(*words: str) -> subprocess.CompletedProcess[str]:
    return torchrun("--standalone", "--nproc-per-node=2", *TRAIN, *words)


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The sentences of the ranks, without what torchrun says itself."""
    return [line for line in done.stderr.splitlines() if line.startswith(("train: ", "rank "))]


def the_run(lab: Path) -> Path:
    """The folder of the only run."""
    (path,) = lab.rglob("config.yaml")
    return path.parent


def last(lab: Path) -> dict[str, Any]:
    return load_checkpoint(the_run(lab) / "checkpoints" / "last.ckpt")


def validated(lab: Path) -> list[float]:
    """The validation loss of each epoch of the only run."""
    with open(the_run(lab) / "metrics.csv", newline="") as file:
        return [float(row["val/loss"]) for row in csv.DictReader(file) if row.get("val/loss")]


def same_training(one: Path, other: Path) -> bool:
    """Whether the runs of two folders have the same last checkpoint, bit for bit."""
    files = [last(lab) for lab in (one, other)]
    return not [each for part in EQUAL for each in differences(files[0][part], files[1][part])]


@pytest.mark.slow
def test_two_ranks_of_torchrun_train_one_run(lab: Path) -> None:
    done = two(*TWO)
    assert done.returncode == 0, done.stderr
    record = read_json(the_run(lab) / "run.json")
    assert (record["status"], record["devices"]) == ("finished", 2)
    for line in ("model  ", "epoch 2 of 2", "next: mixlab-evaluate"):
        assert done.stdout.count(line) == 1, "rank 0 alone prints"
    assert not list(lab.rglob(".launch"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that Lightning started, and nothing disturbed."""
    folder = make_lab(tmp_path_factory.mktemp("whole"))
    with inside(folder):
        assert console("train", *TWO).returncode == 0
    return folder


@pytest.mark.slow
def test_a_rank_dies_and_torchrun_restarts_all(lab: Path, whole: Path) -> None:
    (lab / "die").touch()
    words = ("--standalone", "--nproc-per-node=2", "--max-restarts=1")
    done = torchrun(*words, *TRAIN, *TWO)
    assert done.returncode == 0, done.stderr
    assert "the run resumes from last.ckpt" in done.stdout and (lab / "late").exists()
    assert same_training(lab, whole)


@pytest.mark.slow
def test_torchrun_is_asked_to_stop(lab: Path, whole: Path) -> None:
    (lab / "stop").touch()
    done = two(*TWO)
    assert done.returncode != 0 and said(done) == [
        "train: stopped by SIGTERM; the same command resumes it"
    ]
    assert read_json(the_run(lab) / "run.json")["status"] == "interrupted"
    done = two(*TWO)
    assert done.returncode == 0 and "resumes from last.ckpt" in done.stdout
    assert same_training(lab, whole)
    again = two(*TWO)
    assert again.returncode == 0 and again.stdout.count("finished already") == 1


@contextmanager
def together(
    *commands: tuple[list[str], Mapping[str, str]],
) -> Iterator[list[subprocess.Popen[str]]]:
    """Programs at the same time, ended at the end."""
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(words, env={**os.environ, **more}, stdout=pipe, stderr=pipe, text=True)
        for words, more in commands
    ]
    try:
        yield started
    finally:
        for each in started:
            each.kill()
            each.wait()


def outputs(*commands: tuple[list[str], Mapping[str, str]]) -> list[tuple[int, str, str]]:
    """Exit status, output and errors of programs that run at the same time."""
    with together(*commands) as started:
        said = [each.communicate(timeout=240) for each in started]
        return [(p.returncode, *both) for p, both in zip(started, said, strict=True)]


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_nodes_of_torchrun(lab: Path, whole: Path) -> None:
    """Two agents on one machine; torchrun's id of such a launch is `none`, always.

    A rank dies on the second node, whose agent counts a restart; the other agent counts none.
    """
    (lab / "die").touch()
    words = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
             "--max-restarts=1", "--rdzv-backend=c10d",
             f"--rdzv-endpoint=127.0.0.1:{free_port()}"]  # fmt: skip
    train = [*TRAIN, *TWO, "trainer=multi_node", "trainer.accelerator=cpu"]
    found = outputs(*(([*words, *train], {}) for _ in (0, 1)))
    assert [status for status, *_ in found] == [0, 0], found
    first, other = sorted((out for _, out, _ in found), key=len, reverse=True)
    assert "resumes from last.ckpt" in first and "epoch 2 of 2" in first and not other
    assert (lab / "late").exists()
    record = read_json(the_run(lab) / "run.json")
    assert record["status"] == "finished"
    one, other = (last(each)["state_dict"] for each in (lab, whole))
    assert not list(differences(one, other)), "nodes change nothing"


def of_srun(rank: int, port: int, ranks: int = 2) -> dict[str, str]:
    """What srun says in one of its tasks."""
    return {
        "SLURM_JOB_ID": "71", "SLURM_STEP_ID": "0", "SLURM_NODEID": "0", "SLURM_NTASKS": f"{ranks}",
        "SLURM_STEP_NUM_TASKS": f"{ranks}", "SLURM_STEP_TASKS_PER_NODE": f"{ranks}",
        "SLURM_STEP_NODELIST": "n1", "SLURM_PROCID": f"{rank}", "SLURM_LOCALID": f"{rank}",
        "SLURM_JOB_NAME": "interactive", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}",
    }  # fmt: skip


def srun(*words: str, rank_1: tuple[str, ...] = ()) -> list[tuple[int, str, str]]:
    """mixlab-train as two tasks of srun, the second with more words."""
    program, port = str(Path(sys.executable).with_name("mixlab-train")), free_port()
    each = ([program, *words], [program, *words, *rank_1])
    return outputs(*((line, of_srun(rank, port)) for rank, line in enumerate(each)))


@pytest.mark.slow
def test_two_tasks_of_srun(lab: Path, whole: Path) -> None:
    (one, out, _), (other, nothing, errors) = srun(*TWO, "logger=default")
    assert (one, other, nothing, errors) == (0, 0, "", ""), "rank 1 has nothing to say"
    assert out.count("epoch 2 of 2") == 1
    assert len(list(lab.rglob("*.wandb"))) == len(list(lab.rglob("metrics.csv"))) == 1
    assert same_training(lab, whole)


@pytest.mark.slow
def test_ranks_with_different_command_lines(lab: Path) -> None:
    (one, _, sentence), (other, *silent) = srun(*TWO, rank_1=("optimizer.lr=0.5",))
    assert (one, other, silent) == (2, 2, ["", ""])
    assert "optimizer.lr is 0.001 in rank 0 and 0.5 in rank 1" in sentence
    assert len(sentence.splitlines()) == 1 and not (lab / "logs").exists()


MEETING = """
import os, sys
from mixlab.training.meeting import Meeting
from mixlab.training.ranks import launched
meeting = Meeting.open(launched(), 60)
meeting.tell(f"here/{meeting.launch.rank}", 1)
if meeting.launch.rank == 0:
    os._exit(meeting.told("here/1") - 1)
meeting.told("begin")
"""


@pytest.mark.slow
def test_rank_0_dies_before_it_has_said_anything() -> None:
    port, words = free_port(), [sys.executable, "-c", MEETING]
    (one, *_), (other, _, error) = outputs(*((words, of_srun(rank, port)) for rank in (0, 1)))
    assert (one, other) == (0, 1)
    assert "RankZeroGone: rank 0 at 127.0.0.1 ended without a word" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("trainer.devices=3", "srun started 2 ranks (2 on each of 1 node), but trainer.devices=3"),
        ("optimzer.lr=1", "optimzer.lr is not a key of this configuration; did you mean"),
        ("data.batch_size=1", "data.batch_size=1 counts the rows of all 2 processes together"),
        ("-m", "srun started 2 ranks, and each would make the whole sweep"),
        ("data.label_noise=2", "data.label_noise"),
        ("trainer=ddp", "srun started 2 ranks on node 0, where a process sees 0 GPUs"),
    ],
)
def test_a_mistake_of_all_ranks_is_one_sentence(lab: Path, word: str, sentence: str) -> None:
    if word == "trainer=ddp" and torch.cuda.device_count() > 1:
        pytest.skip("there are GPUs for two ranks")
    (one, _, errors), (other, *silent) = srun(*TWO, word)
    assert (one, other, silent) == (2, 2, ["", ""])
    assert sentence in errors and len(errors.splitlines()) == 1
    assert not [*lab.rglob("run.json"), *lab.rglob(".ranks")]


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """A sharded run that was stopped and went on, one that never was, and what they said."""
    folder = make_lab(tmp_path_factory.mktemp("sharded"))
    with inside(folder):
        (folder / "stop").touch()
        stopped = console("train", *FSDP, "paths.log_dir=stopped")
        again = two(*FSDP, "paths.log_dir=stopped")
        whole = console("train", *FSDP, "paths.log_dir=whole")
    return [folder, stopped, again, whole]


@pytest.mark.slow
def test_a_sharded_run_resumes_exactly(sharded: list[Any]) -> None:
    """Also where Lightning started its ranks first, and torchrun the second time."""
    folder, stopped, again, whole = sharded
    assert stopped.returncode == 128 + signal.SIGTERM, stopped.stderr
    assert again.returncode == 0 and "resumes from last.ckpt" in again.stdout, again.stderr
    assert whole.returncode == 0, whole.stderr
    assert same_training(folder / "stopped", folder / "whole")


@pytest.mark.slow
def test_sharded_weights_are_those_of_ddp_to_rounding(lab: Path) -> None:
    """With SGD: Adam's first steps have the sign of a gradient, also of one that is rounding."""
    for name, words in (("fsdp", FSDP), ("ddp", (*TWO, *WITH_BUFFERS))):
        done = console("train", *words, "optimizer=sgd", f"paths.log_dir={name}")
        assert done.returncode == 0, done.stderr
    losses = [validated(lab / name) for name in ("fsdp", "ddp")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)  # by the same running statistics
    one, other = (last(lab / name)["state_dict"] for name in ("fsdp", "ddp"))
    assert one.keys() == other.keys()
    for name, weights in one.items():
        torch.testing.assert_close(weights, other[name], rtol=1e-5, atol=1e-5)
    folder = the_run(lab / "fsdp")
    record = read_json(folder / "run.json")
    assert (record["strategy"], record["devices"]) == ("FullySharded", 2)
    alone = console("evaluate", f"run={folder}", "output=alone.json")  # reads what two have written
    assert alone.returncode == 0, alone.stderr
    figures = read_json(Path("alone.json"))["last"]
    for metric in ("test/loss", "test/accuracy"):
        assert figures[metric] == pytest.approx(record["results"]["last"][metric], rel=1e-5)
