"""Real multiruns, as commands: each job is a process of its own, whatever becomes of the others."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.small_runs import SMALL, console, write_lab
from mixlab.runs.atomic import read_json
from mixlab.runs.locks import is_running

MYLAB = '''
import os
from pathlib import Path
import pytorch_lightning as pl

class Trouble(pl.Callback):
    """Ends the process or raises, in runs of seed 1, until the file `well` is there."""

    def on_train_epoch_start(self, trainer, module):
        folder = Path(trainer.default_root_dir)
        if folder.name == "seed-1" and not Path("well").exists():
            if "-none-" in folder.parent.name:
                os._exit(7)
            raise ZeroDivisionError("a defect")
'''
TROUBLE = "defaults: [default]\ntrouble:\n  _target_: mylab.Trouble\n"
QUICK = (*SMALL, "logger=csv", "trainer.max_epochs=1", "trainer.limit_train_batches=1")


@pytest.fixture
def lab(here: Path) -> Path:
    """A user's folder: a module and a configuration of their own."""
    return write_lab(here, MYLAB, TROUBLE, "trouble")


def records(folder: Path) -> dict[str, str]:
    """The status of each run of the sweep, by the words of its folder."""
    sweep = folder / "logs" / "sweeps" / "train"
    runs = json.loads((sweep / "sweep.json").read_text())["runs"]
    assert len(set(runs)) == len(runs)
    return {run[-40:]: read_json(sweep / run / "run.json").get("status", "") for run in runs}


def test_a_sweep_finishes_and_the_same_command_does_what_is_missing(
    lab: Path, command: Callable
) -> None:
    words = [
        "--config-dir=conf", "-m", *QUICK, "callbacks=trouble", "allow=[mylab]", "seeds=2",
        "mixing=none,mixup", "mixing.probability=0.5,1",
    ]  # fmt: skip
    done = console("train", *words)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "6 runs, listed in logs/sweeps/train/sweep.json", "none is one arm"
    assert [line.split("]")[0] for line in lines[1:7]] == [f"[{n}/6" for n in range(1, 7)]
    assert done.stdout.count("failed: the process ended with status 7; see log.txt") == 1
    assert done.stdout.count("failed: ZeroDivisionError: a defect") == 2
    assert "3 of 6 runs finished" in lines
    assert sorted(records(lab).values()) == ["failed"] * 3 + ["finished"] * 3
    tracebacks = [path for path in lab.rglob("error.txt") if "ZeroDivision" in path.read_text()]
    assert len(tracebacks) == 2

    kept = {path: path.stat().st_mtime_ns for path in lab.rglob("seed-0/run.json")}
    (lab / "well").touch()
    assert "retry=failed added to the same command trains the failed again" in lines
    said = command("train", "hydra/launcher=basic", *words)  # in this process
    assert said.status == 1 and "3 of them finished, 3 left as they failed" in said.out
    said = command("train", "hydra/launcher=basic", *words, "retry=failed")
    assert said.status == 0, said.err
    assert said.out.startswith("6 runs, 3 of them finished, listed in")
    assert said.out.count(": test accuracy") == 3 and "seed-0: test" not in said.out
    assert "next: mixlab-compare logs/sweeps/train" in said.out
    assert set(records(lab).values()) == {"finished"}
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert "mixup" in command("compare", "logs/sweeps/train").out


@pytest.mark.slow
def test_a_grid_that_grew(here: Path, command: Callable) -> None:
    """With Hydra's basic launcher, which trains in its own process."""
    words = ["-m", "hydra/launcher=basic", *QUICK, "mixing=none,mixup"]
    assert command("train", *words, "seeds=1").out.startswith("2 runs, listed in")
    words[words.index("logger=csv")] = "logger=wandb"
    said = command("train", *words, "seed=0,4")
    assert said.out.startswith("4 runs, 2 of them finished") and said.status == 0
    assert "W&B has a summary of the sweep: offline" in said.out
    assert said.out.count("seed-4: test accuracy") == 2 and "seed-0: test accuracy" not in said.out
    assert list(records(here).values()) == ["finished"] * 4


READ = '''
import os
from pathlib import Path
from PIL import Image
from torch.utils.data import Dataset, get_worker_info

IMPORTED_BY = os.getpid()

class Notes(Dataset):
    """Gray pictures; a worker that reads one writes down who imported this module."""

    classes = ["odd", "even"]

    def __len__(self):
        return 20

    def __getitem__(self, row):
        if get_worker_info() is not None:
            Path(f"reader-{os.getpid()}").write_text(f"{IMPORTED_BY} {os.getppid()}")
        return Image.new("RGB", (16, 16)), row % 2
'''


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers import all they need")
def test_loader_workers_of_a_job_import_nothing_again(here: Path) -> None:
    """They are forked from the job, although the job itself comes from a fork server."""
    (here / "mylab.py").write_text(READ)
    done = console(
        "train", "-m", "seeds=1", "data=torch", "data.source.train._target_=mylab.Notes",
        "allow=[mylab]",
        "data.num_workers=2", "data.batch_size=4", "mixing=none", *QUICK,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    notes = [path.read_text().split() for path in here.glob("reader-*")]
    assert len(notes) >= 2, "two workers"
    assert all(imported_by == parent for imported_by, parent in notes)


@pytest.fixture
def long_sweep(lab: Path) -> Iterator[subprocess.Popen[str]]:
    """A sweep of two runs that have begun and would take for ever."""
    words = ["-m", *SMALL, "logger=csv", "trainer.max_epochs=100000", "seeds=2"]
    words += ["hydra.launcher.jobs=2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mixlab.train", *words],
        stdout=subprocess.PIPE,
        text=True,
        # A shell lets what runs in its background ignore Ctrl-C, and that would be inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 120
    while len(list(lab.rglob("last.ckpt"))) < 2:
        assert time.monotonic() < end, "they did not begin"
        time.sleep(0.2)
    with process:
        yield process
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_save_what_runs(
    lab: Path, long_sweep: subprocess.Popen[str], signum: int
) -> None:
    long_sweep.send_signal(signum)
    said, _ = long_sweep.communicate(timeout=60)
    assert long_sweep.returncode == 130
    assert "stopping: each job saves a checkpoint" in said
    assert said.count("interrupted: stopped by SIGTERM; the same command resumes it") == 2
    assert set(records(lab).values()) == {"interrupted"}


@pytest.mark.slow
def test_jobs_end_with_their_launcher(lab: Path, long_sweep: subprocess.Popen[str]) -> None:
    long_sweep.kill()
    long_sweep.wait()
    folders = [path.parent for path in lab.rglob("run.json")]
    time.sleep(2)
    assert len(folders) == 2 and not any(is_running(folder) for folder in folders)
