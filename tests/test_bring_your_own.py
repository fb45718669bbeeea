"""A network, module, loss, optimizer and schedule of the user's: one line each; slips refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

MYLAB = """
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F


class MyNet(nn.Sequential):
    def __init__(self, num_classes, in_channels, width=8):
        super().__init__(
            nn.Conv2d(in_channels, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(width, num_classes),
        )


class OfSpec(MyNet):
    def __init__(self, images, width=8):
        super().__init__(images.num_classes, images.channels, width)


class Fixed(MyNet):
    def __init__(self):
        super().__init__(3, 1)


class Sure(MyNet):
    def forward(self, images):
        return {"logits": super().forward(images)}


class Broken(MyNet):
    def forward(self, images):
        return super().forward(images) @ torch.ones(3, 3)


class MyModule(pl.LightningModule):
    def __init__(self, num_classes, hidden=8):
        super().__init__()
        self.network = MyNet(num_classes, 1, hidden)

    def training_step(self, batch, batch_idx):
        images, targets = batch
        return F.cross_entropy(self.network(images), targets)

    def validation_step(self, batch, batch_idx):
        self.log("val/accuracy", self.accuracy(*batch))

    def test_step(self, batch, batch_idx):
        self.log("test/accuracy", self.accuracy(*batch))

    def accuracy(self, images, targets):
        return (self.network(images).argmax(1) == targets).float().mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


class Focal(nn.Module):
    def __init__(self, gamma=2.0):
        super().__init__()
        self.gamma = gamma

    def forward(self, logits, targets):
        assert logits.shape == targets.shape and targets.is_floating_point()
        log = logits.log_softmax(1)
        return -(targets * (1 - log.exp()) ** self.gamma * log).sum(1).mean()


class Rows(Focal):
    def forward(self, logits, targets):
        return -(targets * logits.log_softmax(1)).sum(1)
"""
QUICK = (
    "data=digits", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "logger=none", "threads=1",
    "allow=[mylab]",
)  # fmt: skip


@pytest.fixture
def lab(here: Path) -> Path:
    (here / "mylab.py").write_text(MYLAB)
    return here


def only_run(folder: Path) -> tuple[dict, dict]:
    """The configuration and the record of the one run that there is."""
    (config,) = folder.rglob("config.yaml")
    record = json.loads(config.with_name("run.json").read_text())
    return OmegaConf.to_container(OmegaConf.load(config)), record  # pyright: ignore


@pytest.mark.parametrize(
    ("words", "model"),
    [
        (
            ["model.network._target_=mylab.MyNet"],
            {"name": "mynet", "network": {"_target_": "mylab.MyNet"}},
        ),
        (
            ["model.network={_target_:mylab.OfSpec,width:4}"],
            {"name": "ofspec", "network": {"_target_": "mylab.OfSpec", "width": 4}},
        ),
        (
            ["model.network._target_=mylab.MyNet", "+model.network.width=4", "model.name=mine"],
            {"name": "mine", "network": {"_target_": "mylab.MyNet", "width": 4}},
        ),
        (
            ["model.loss={_target_:mylab.Focal,gamma:1}", "model.label_smoothing=0.1"],
            {"name": "cnn", "loss": {"_target_": "mylab.Focal", "gamma": 1}},
        ),
        (["model.loss._target_=torch.nn.CrossEntropyLoss"], {"name": "cnn"}),
    ],
)
def test_networks_and_losses(lab: Path, command: Callable, words: list[str], model: dict) -> None:
    said = command("train", *QUICK, *words)
    assert said.status == 0, said.err
    config, record = only_run(lab)
    assert {key: config["model"][key] for key in model} == model
    assert record["results"]["last"]["test/loss"] > 0


@pytest.mark.parametrize("word", ["._target_=mylab.MyModule", "={_target_:mylab.MyModule}"])
def test_a_module_gets_what_it_asks_for(lab: Path, command: Callable, word: str) -> None:
    said = command("train", *QUICK, f"model{word}", "+model.hidden=4")
    assert said.status == 0, said.err
    config, record = only_run(lab)
    assert config["model"] == {"_target_": "mylab.MyModule", "name": "mymodule", "hidden": 4}
    assert 0 <= record["results"]["last"]["test/accuracy"] <= 1


def test_another_optimizer_starts_without_the_arguments_of_the_first(
    lab: Path, command: Callable
) -> None:
    schedule = "scheduler={_target_:torch.optim.lr_scheduler.ExponentialLR,gamma:0.5}"
    said = command("train", *QUICK, "optimizer._target_=torch.optim.SGD", schedule)
    assert said.status == 0, said.err
    config, _ = only_run(lab)
    assert "betas" not in config["optimizer"] and config["optimizer"]["lr"] == 1e-3


def test_a_trainer_takes_more_than_the_file_lists(lab: Path, command: Callable) -> None:
    for words in (["+trainer.min_epochs=1"], ["+trainer.min_epochs=1", "+my_note=hello"]):
        said = command("train", *QUICK, *words)
        assert said.status == 0, said.err
    assert "finished already" in said.out, "a note does not change what is trained"
    said = command("train", *QUICK)
    assert "finished already" not in said.out, "an argument of the trainer may"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["model.network._target_=mylab.Fixed"], "(2, 3); with 10 classes it has to return"),
        (["model.network._target_=mylab.Sure"], "returns a dict; return one tensor of logits"),
        (["model.network._target_=torch.utils.data.TensorDataset"], "is not a torch.nn"),
        (["model._target_=mylab.MyNet"], "is not a LightningModule; for a network of yours"),
        (["model.loss._target_=mylab.Rows"], "model.loss returned (64,) for logits (64, 10)"),
        (["model.loss=focal"], "for a loss of yours, model.loss._target_="),
        (
            ["model.network._target_=mylab.MyNet", "model.network.dropout=0.1"],
            "takes no argument dropout; leave out model.network.dropout",
        ),
        (
            ["optimizer._target_=torch.optim.SGD", "optimizer.betas=[0.9,0.999]"],
            "takes no argument betas",
        ),
        (["model.network._target_=mylab.MyNet", "+model.network.widht=4"], "network.width?"),
        (["+mixing.probabilty=0.5"], "did you mean mixing.probability?"),
        (["+mixing.method.alhpa=1"], "did you mean mixing.method.alpha?"),
        (["+model.num_classes=3"], "model.num_classes is not a key"),
        (["+seeed=3"], "did you mean seed?"),
        (["trainer.min_epochs=1"], "+trainer.min_epochs=... passes an argument"),
        (["my_note=1"], "+my_note=... records a value of your own"),
    ],
)
def test_a_slip_is_one_sentence(
    lab: Path, command: Callable, words: list[str], sentence: str
) -> None:
    said = command("train", *QUICK, *words)
    assert said.status == 2 and sentence in said.err and len(said.err.splitlines()) == 1


def test_an_error_of_the_users_network_begins_with_their_line(lab: Path, command: Callable) -> None:
    said = command("train", *QUICK, "model.network._target_=mylab.Broken")
    assert said.status == 1 and said.err.startswith("mixlab-train: mylab.py, line ")
