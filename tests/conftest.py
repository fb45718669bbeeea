"""Every test: one thread, no W&B account, no environment of the machine's."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("mixlab", deadline=None)  # a busy machine is no failure
settings.load_profile("mixlab")
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for what the tests start
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
for name in ("WANDB_API_KEY", "WANDB_DIR", "WANDB_PROJECT", "MIXLAB_TRACEBACK", "HYDRA_FULL_ERROR"):
    os.environ.pop(name, None)

# absl (of keras and array_record) keeps the standard error of its import, and closes it when Hydra
# configures logging, unless that is the process's own: here it would be pytest's capture.
with redirect_stderr(sys.__stderr__), suppress(ImportError):
    import_module("absl.logging")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write docs/reliability.md")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def quick_configs() -> Iterator[None]:
    from helpers.quick_configs import composed_quickly

    with composed_quickly():
        yield


@pytest.fixture(autouse=True)
def speaking_loggers() -> None:
    """Hydra configures logging for the whole process: loggers are disabled, a sweep logs errors."""
    logging.disable(logging.NOTSET)
    logging.root.setLevel(logging.WARNING)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("mixlab") and isinstance(logger, logging.Logger):
            logger.disabled, logger.propagate = False, True


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass
class Said:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line on standard error."""
        assert "Traceback" not in self.err, self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Said]]:
    """Run a command in this process, as `command("train", "mixing=none")`."""
    from hydra.core.global_hydra import GlobalHydra

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # the command sets it; here it is taken back
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(program: str, *arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", [f"mixlab-{program}", *arguments])
        GlobalHydra.instance().clear()
        capsys.readouterr()  # what was said before
        status = 0
        try:
            import_module(f"mixlab.{program}").main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Said(status, *capsys.readouterr())

    yield run
    GlobalHydra.instance().clear()
    sys.modules.pop("mylab", None)  # what a test calls its user's module
