"""Metrics, callbacks and loggers of the user's own: one line adds one, a slip is still refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mixlab.reporting import formatting
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.pairing import Question
from mixlab.runs.records import find

MYLAB = """
from pathlib import Path

import pytorch_lightning as pl
import torchmetrics
from pytorch_lightning.loggers import CSVLogger


class Shout(pl.Callback):
    changes_training = False

    def __init__(self, word="hello"):
        self.word = word

    def on_train_end(self, trainer, pl_module):
        Path("shout.txt").write_text(self.word)


class Nudge(Shout):
    changes_training = True


class Worst(torchmetrics.Metric):
    higher_is_better = False

    def __init__(self):
        super().__init__()
        self.add_state("wrong", default=__import__("torch").tensor(0.0), dist_reduce_fx="sum")
        self.add_state("rows", default=__import__("torch").tensor(0.0), dist_reduce_fx="sum")

    def update(self, scores, targets):
        self.wrong += (scores.argmax(1) != targets).sum()
        self.rows += len(targets)

    def compute(self):
        return self.wrong / self.rows
"""
QUICK = (
    "data=digits", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2",
    "trainer.limit_test_batches=1", "logger=csv", "threads=1",
)  # fmt: skip


@pytest.fixture
def lab(here: Path) -> Path:
    (here / "mylab.py").write_text(MYLAB)
    return here


def records(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("run.json"))]


def test_a_metric_of_ours_and_one_of_the_users(lab: Path, command: Callable) -> None:
    mine = ("+metrics.wrong._target_=mylab.Worst", "+metrics.wrong.unit=%", "allow=[mylab]")
    said = command("train", *QUICK, "metrics=[f1,calibration]", *mine)
    assert said.status == 0, said.err
    record = records(lab)[0]
    last = record["results"]["last"]
    assert {"test/f1", "test/ece", "test/wrong", "val/f1", "test/accuracy"} <= set(last)
    assert last["test/wrong"] == pytest.approx(1 - last["test/accuracy"], abs=1e-6)
    assert record["metrics"]["wrong"] == {"unit": "%", "higher_is_better": False}
    found = compare_runs(find([lab / "logs"]), Question(metric="test/wrong"))
    assert not found.question.higher_is_better
    assert formatting.unit(found.question) == formatting.unit("test/accuracy")


def test_a_callback_on_the_command_line(lab: Path, command: Callable) -> None:
    said = command("train", *QUICK, "+callbacks.mine._target_=mylab.Shout",
                   "+callbacks.mine.word=hi", "allow=[mylab]")  # fmt: skip
    assert said.status == 0 and (lab / "shout.txt").read_text() == "hi", said.err
    said = command("train", *QUICK, "allow=[mylab]")
    assert "finished already" in said.out, "it says that it does not change the training"
    said = command("train", *QUICK, "+callbacks.mine._target_=mylab.Nudge", "allow=[mylab]")
    assert said.status == 0 and "finished already" not in said.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["+callbacks.mine._target_=mylab.Shout", "+callbacks.mine.wrod=hi"], "did you mean word?"),
        (["+callbaks.mine._target_=mylab.Shout"], "callbaks.mine._target_ is not a key"),
        (["+mixing.probabilty=0.5"], "did you mean mixing.probability?"),
        (["callbacks=[default,early_stoping]"], "early_stopping"),
        (["+metrics.accuracy._target_=mylab.Worst"], "every model has accuracy already"),
        (["+metrics.mine._target_=mylab.Shout"], "is not a torchmetrics.Metric"),
    ],
)
def test_a_slip_is_one_sentence(
    lab: Path, command: Callable, words: list[str], sentence: str
) -> None:
    said = command("train", *QUICK, *words, "allow=[mylab]")
    assert said.status == 2 and sentence in said.err and len(said.err.splitlines()) == 1
    assert not list(lab.rglob("run.json"))


def test_files_may_add_list_and_override(lab: Path, command: Callable) -> None:
    conf = lab / "conf"
    (conf / "experiment").mkdir(parents=True)
    (conf / "callbacks").mkdir()
    (conf / "callbacks" / "mine.yaml").write_text("mine:\n  _target_: mylab.Shout\n")
    (conf / "experiment" / "one.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /callbacks: [default, mine]\n"
    )
    (conf / "experiment" / "two.yaml").write_text(
        "# @package _global_\ncallbacks:\n  stop:\n"
        "    _target_: pytorch_lightning.callbacks.EarlyStopping\n    monitor: val/loss\n"
    )
    for name in ("one", "two"):
        said = command("train", *QUICK, f"experiment={name}", "--config-dir=conf", "allow=[mylab]")
        assert said.status == 0, said.err
    assert (lab / "shout.txt").exists()


def test_early_stopping_is_a_choice(lab: Path, command: Callable) -> None:
    said = command("train", *QUICK, "callbacks=[default,early_stopping,lr_monitor]")
    assert said.status == 0, said.err
