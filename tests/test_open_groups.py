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
        (["callbacks.mine._target_=mylab.Shout"], "write +callbacks.mine._target_=... to add it"),
        (["+callbacks.mine=mylab.Shout"], "write +callbacks.mine._target_=... to add it"),
        (["callbacks.best=mylab.Shout"], "write callbacks.best._target_=mylab.Shout"),
        (["+callbacks.mine.word=hi"], "callbacks.mine.word is not a key"),
        (["metrics=f1", "callbacks.best.monitor=val/f2"], "did you mean val/f1?"),
        (["callbacks.best.monitor=val/f1"], "must be one of val/accuracy, val/loss"),
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
    more = "callbacks=[default,early_stopping,lr_monitor,model_summary,rich_progress_bar]"
    said = command("train", *QUICK, more)
    assert said.status == 0, said.err
    assert "lr-Adam" in next(lab.rglob("metrics.csv")).read_text()


def test_without_callbacks_there_are_no_checkpoints(lab: Path, command: Callable) -> None:
    assert command("train", *QUICK, "callbacks=none").status == 0
    assert not [*lab.rglob("*.ckpt")] and records(lab)[0]["results"]["last"]["test/loss"] > 0


def test_a_logger_and_a_monitor_of_the_users(lab: Path, command: Callable) -> None:
    said = command(
        "train", *QUICK, "allow=[mylab]", "+metrics.wrong._target_=mylab.Worst",
        "callbacks.best.monitor=val/wrong", "callbacks.best.mode=min",
        "+logger.mine._target_=mylab.CSVLogger", "+logger.mine.save_dir=mine",
    )  # fmt: skip
    assert said.status == 0, said.err
    assert records(lab)[0]["monitor"] == {"metric": "val/wrong", "mode": "min"}
    assert "val/wrong" in next(lab.glob("mine/**/metrics.csv")).read_text()


def planned(here: Path) -> list[str]:
    """The arms of the sweep, by their folders."""
    text = (here / "logs" / "sweeps" / "train" / "sweep.json").read_text()
    return [Path(run).parts[-2] for run in json.loads(text)["runs"]]


def test_none_crosses_with_any_knob(here: Path, command: Callable, monkeypatch) -> None:
    monkeypatch.setattr("mixlab.sweeps.launch.launch", lambda *args: None)  # planned only
    command("train", "-m", "mixing=none,mixup_many", "mixing.method.sources=3,4")
    arms = planned(here)
    assert [arm.split("-")[2] for arm in arms] == ["none", "mixup_many", "mixup_many"]
    command("train", "-m", "mixing=none,mixup_many", "mixing.method.sources=3")
    assert planned(here) == arms[:2]


@pytest.mark.parametrize(
    ("knob", "sentence"),
    [
        ("sources=3", "cutmix has no mixing.method.sources; arms="),
        ("alhpa=1", "mean mixing.method.alpha?"),
    ],
)
def test_a_knob_that_an_arm_has_not(
    here: Path, command: Callable, knob: str, sentence: str
) -> None:
    said = command("train", "-m", "mixing=none,cutmix", f"mixing.method.{knob}")
    assert said.status == 2 and sentence in said.sentence and not (here / "logs").exists()
