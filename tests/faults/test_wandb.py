"""W&B that fails in every way: the training has the same bits, its metrics, and ends in time."""

import http.server
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import wandb

from faults.conftest import Injected
from helpers.small_runs import SMALL, checkpoint, differences, small
from mixlab.loggers import wandb_run
from mixlab.loggers.wandb_run import NullRun
from mixlab.runs import run_folder
from mixlab.runs.atomic import read_json
from mixlab.training.supervise import train

DELAY = 15.0  # seconds that W&B may cost a run at its end
RESULT = "weights and metrics as without W&B, one warning"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same run without W&B."""
    cfg = small(tmp_path_factory.mktemp("alone"), logger="csv")
    train(cfg)
    return cfg


def check(cfg: Any, alone: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The run is finished, has the same bits and rows, and said one thing."""
    assert read_json(run_folder(cfg) / "run.json")["status"] == "finished"
    weights = [checkpoint(each)["state_dict"] for each in (cfg, alone)]
    assert not list(differences(*weights))
    rows = [(run_folder(each) / "metrics.csv").read_text() for each in (cfg, alone)]
    assert rows[0] == rows[1] and len(rows[0].splitlines()) > 2
    said = [r.getMessage() for r in caplog.records if "W&B" in r.getMessage()]
    assert len(said) == 1 and "continues without it" in said[0]


class Broken(NullRun):
    """A W&B run that answers one call as it is told to, and takes all the others."""

    def __init__(self, name: str, answer: Callable[[], Any]) -> None:
        self.called: list[str] = []
        self.name, self.answer = name, answer

    def log(self, *args: Any, **kwargs: Any) -> None:
        self.reached("log")

    def finish(self, *args: Any, **kwargs: Any) -> None:
        self.reached("finish")

    def reached(self, name: str) -> None:
        self.called.append(name)
        if name == self.name:
            self.answer()


def fail() -> None:
    raise OSError("connection reset by peer")


@pytest.mark.parametrize("answer", ["raises", "hangs"])
@pytest.mark.parametrize("place", ["init", "log", "finish"])
def test_it_fails_inside(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    injected: Injected,
    alone: Any,
    place: str,
    answer: str,
) -> None:
    release = threading.Event()
    run = Broken(place, release.wait if answer == "hangs" else fail)  # pyright: ignore
    monkeypatch.setattr(wandb_run, "ANSWER_SECONDS", 1.0)

    def init(**_: Any) -> Any:
        run.reached("init")
        return run

    monkeypatch.setattr(wandb, "init", init)
    cfg = small(tmp_path, logger="default")
    with caplog.at_level(logging.WARNING):
        began = time.monotonic()
        train(cfg)
        seconds = time.monotonic() - began
    release.set()
    assert run.called.count(place) == 1, "it was not asked again"
    check(cfg, alone, caplog)
    assert seconds < DELAY
    injected(f"W&B {answer} in {place}", 1, RESULT)


def test_it_cannot_write_its_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, injected: Injected, alone: Any
) -> None:
    cfg = small(tmp_path, logger="default")
    folder = run_folder(cfg)
    folder.mkdir(parents=True)
    (folder / "wandb").write_text("a file where its folder should be")
    with caplog.at_level(logging.WARNING):
        train(cfg)
    assert (folder / "wandb").is_file()
    check(cfg, alone, caplog)
    injected("W&B has no place for its files", 1, RESULT)


class Answers(http.server.BaseHTTPRequestHandler):
    """A server that fails every request."""

    requests = 0

    def do_POST(self) -> None:
        type(self).requests += 1
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(500)
        self.end_headers()

    do_GET = do_PUT = do_POST

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def server(kind: str) -> Iterator[int]:
    """A port of this machine where W&B's server would be."""
    if kind == "answers 500":
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as http_server:
            threading.Thread(target=http_server.serve_forever, daemon=True).start()
            yield http_server.server_address[1]
            http_server.shutdown()
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if kind == "never answers":
            listener.listen(50)
        yield listener.getsockname()[1]  # bound but not listening: refused


def ended(folder: Path, logger: str, **environment: str) -> tuple[Path, float, str]:
    """Train in a process: its run folder, seconds from the record's end to its own, its output."""
    hidden = {"WANDB_MODE", "WANDB_SILENT", "WANDB_API_KEY", "WANDB_BASE_URL"}
    inherited = {key: value for key, value in os.environ.items() if key not in hidden}
    words = [*SMALL, f"logger={logger}", f"paths.root_dir={folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "mixlab.train", *words],
        env={**inherited, "NETRC": "/dev/null", **environment}, text=True, timeout=240, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    now = time.time()
    assert done.returncode == 0, done.stdout
    run = next(folder.rglob("seed-0"))
    return run, now - (run / "run.json").stat().st_mtime, done.stdout


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, int]:
    """A process without W&B: the seconds it takes to end here and now, the lines it prints."""
    _, seconds, output = ended(tmp_path_factory.mktemp("csv"), "csv")
    return seconds, len(output.splitlines())


@pytest.mark.parametrize("kind", ["refuses", "never answers", "answers 500", "no key"])
def test_its_server_fails(
    tmp_path: Path, injected: Injected, alone: Any, without: tuple[float, int], kind: str
) -> None:
    """In a process of its own, to its very end: what W&B leaves to be done at exit counts too."""
    key = {} if kind == "no key" else {"WANDB_API_KEY": "k" * 40}
    with server(kind) as port:
        url = f"http://127.0.0.1:{port}"
        folder, seconds, output = ended(tmp_path, "default", WANDB_BASE_URL=url, **key)
    assert seconds - without[0] < DELAY
    weights = [checkpoint_of(each) for each in (folder, run_folder(alone))]
    assert not list(differences(*weights))
    assert (folder / "metrics.csv").read_text() == (run_folder(alone) / "metrics.csv").read_text()
    assert bool(list((folder / "wandb").glob("offline-run-*/*.wandb"))), "kept, to be sent later"
    said = [line for line in output.splitlines() if "W&B" in line]
    [in_the_banner] = [line for line in said if line.strip().startswith("W&B   ")]
    assert "offline, project mixlab" in in_the_banner, output
    assert len(said) == 1 + len(key) and "k" * 40 not in output, output
    assert len(output.splitlines()) == len(said) + without[1], output
    injected(f"W&B's server {kind}" if key else "W&B has no key", 1, f"{RESULT}; kept offline")


def checkpoint_of(folder: Path) -> Any:
    import torch

    path = folder / "checkpoints" / "last.ckpt"
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
