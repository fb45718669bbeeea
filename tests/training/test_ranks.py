"""Other ranks begin at the run's folder, not at somebody's command line."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from mixlab import rank as module
from mixlab.callbacks import Interrupted
from mixlab.rank import join
from mixlab.training.fit import ranks_join


def test_a_rank_is_started_with_this_file_and_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mixlab-train", "-m", "seeds=5"])
    main = sys.modules["__main__"]
    spec = main.__spec__
    with ranks_join(tmp_path, ["mylab", "other"]):
        assert sys.argv == [str(Path(module.__file__).resolve()), str(tmp_path), "mylab,other"]
        assert main.__spec__ is None
    assert sys.argv == ["mixlab-train", "-m", "seeds=5"] and main.__spec__ is spec


def test_arguments_come_back_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mine"])
    with pytest.raises(KeyError), ranks_join(tmp_path):
        raise KeyError
    assert sys.argv == ["mine"]


@pytest.fixture
def joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Runs that were joined, whose `fit` is stopped by a signal."""
    runs: list[Any] = []

    def fit(run: Any) -> None:
        runs.append(run)
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr("mixlab.training.fit.fit", fit)
    OmegaConf.save({"seed": 3, "allow": ["evil"]}, tmp_path / "config.yaml")
    return runs


def test_what_may_be_called_is_the_parents_to_say(tmp_path: Path, joined: list[Any]) -> None:
    join(tmp_path, ["mylab"])  # and a stop that all ranks were asked for is no error
    assert joined[0].cfg.allow == ["mylab"] and joined[0].cfg.seed == 3


def test_the_file_is_a_program() -> None:
    file = Path(module.__file__)
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, check=False)
    assert "IndexError" in done.stderr, "it starts, and wants the folder"


RANK = """
import time
from mixlab.signals import end_with_parent
end_with_parent()
print("watching", flush=True)
time.sleep(100)
"""
LAUNCHER = f"""
import os, signal, subprocess, sys
rank = subprocess.Popen([sys.executable, "-c", {RANK!r}], stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL)  # or whoever reads ours waits for the rank
rank.stdout.readline()
print(rank.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_rank_does_not_outlive_the_one_that_started_it() -> None:
    words = [sys.executable, "-c", LAUNCHER]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    stat, end = Path(f"/proc/{int(done.stdout)}/stat"), time.monotonic() + 20
    while stat.exists() and " Z " not in stat.read_text():
        assert time.monotonic() < end
        time.sleep(0.1)
