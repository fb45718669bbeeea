"""A defect of our own is never taken for a user's slip, and a user's own code is named first."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixlab.callbacks import Seeding

QUICK = (
    "data=digits", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2",
    "trainer.limit_test_batches=1", "logger=csv", "threads=1",
)  # fmt: skip


def uneven(*_: Any) -> list[Any]:
    return list(zip([1, 2], [1], strict=True))


def of_numpy(*_: Any) -> Any:
    return np.concatenate([])


def missing_key(*_: Any) -> Any:
    return {}["nothing"]


def no_file(*_: Any) -> Any:
    return open("nowhere/at/all")


DEFECTS = {
    "ValueError: zip() argument 2 is shorter": ("mixlab.training.fit.test", uneven),
    "ValueError: need at least one array": ("mixlab.training.build.build_callbacks", of_numpy),
    "KeyError: 'nothing'": ("mixlab.training.build.build_model", missing_key),
    "FileNotFoundError": ("mixlab.training.build.build_loggers", no_file),
}


@pytest.mark.parametrize("said", DEFECTS)
def test_a_defect_of_ours_shows_its_traceback(
    here: Path, command: Callable, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(*DEFECTS[said])
    check_failed(command("train", *QUICK), said, here)


def test_so_does_one_in_a_callback(
    here: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Seeding, "on_train_batch_start", lambda self: None)
    check_failed(command("train", *QUICK), "TypeError", here)


def check_failed(found: Any, said: str, here: Path) -> dict[str, Any]:
    assert found.status == 1 and "Traceback" in found.err and said in found.err
    (record,) = [json.loads(path.read_text()) for path in here.rglob("run.json")]
    assert record["status"] == "failed" and not record.get("user_error")
    assert said in next(here.rglob("error.txt")).read_text()
    return record


MYLAB = """
from torch import nn


class Net(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.body = nn.Linear(spec.height * spec.width, 10)

    def forward(self, images):
        return self.body(images)  # nobody has flattened them
"""


@pytest.fixture
def lab(here: Path) -> Iterator[Path]:
    (here / "mylab.py").write_text(MYLAB)
    (here / "conf" / "model").mkdir(parents=True)
    (here / "conf" / "model" / "mine.yaml").write_text(
        "defaults: [cnn]\nname: mine\nnetwork:\n  _target_: mylab.Net\n"
    )
    yield here


def test_an_error_in_the_users_network_begins_with_their_line(lab: Path, command: Callable) -> None:
    words = ("model=mine", "--config-dir=conf", "~model.network.dropout", "allow=[mylab]")
    said = command("train", *QUICK, *words)
    check_failed(said, "RuntimeError", lab)
    line = MYLAB.splitlines().index("        return self.body(images)  # nobody has flattened them")
    assert said.err.startswith(f"mixlab-train: mylab.py, line {line + 1}: RuntimeError: ")
