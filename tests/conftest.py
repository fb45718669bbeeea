"""Every test: one thread, no W&B account, no environment of the machine's."""

import os
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for what the tests start
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
for name in ("WANDB_API_KEY", "WANDB_DIR", "WANDB_PROJECT", "MIXLAB_TRACEBACK", "HYDRA_FULL_ERROR"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
