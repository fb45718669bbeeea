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


class NClasses(MyNet):
    def __init__(self, n_classes, in_channels):
        super().__init__(n_classes, in_channels)


class NoForward(nn.Module):
    def __init__(self, num_classes):
        super().__init__()


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


class Unvalidated(MyModule):
    validation_step = pl.LightningModule.validation_step


class Untested(MyModule):
    test_step = pl.LightningModule.test_step


class Unlearning(MyModule):
    configure_optimizers = pl.LightningModule.configure_optimizers


class Deep(MyModule):
    def __init__(self, num_classes, depth):
        super().__init__(num_classes)


class OtherName(MyModule):
    def validation_step(self, batch, batch_idx):
        self.log("val/right", self.accuracy(*batch))


class Focal(nn.Module):
    def __init__(self, gamma=2.0):
        super().__init__()
        self.gamma = gamma

    def forward(self, logits, targets):
        assert logits.shape == targets.shape and targets.is_floating_point()
        log = logits.log_softmax(1)
        return -(targets * (1 - log.exp()) ** self.gamma * log).sum(1).mean()


def plain_loss(logits, targets):
    return -(targets * logits.log_softmax(1)).sum(1).mean()


class Detached(Focal):
    def forward(self, logits, targets):
        return super().forward(logits, targets).detach()


class OneArgument(Focal):
    def forward(self, logits):
        return logits.mean()


class Pairs:
    classes = ["even", "odd"]

    def __init__(self, kind):
        self.kind = kind

    def __len__(self):
        return 60

    def __getitem__(self, row):
        image, label = torch.rand(1, 16, 16), row % 2
        return {
            "dict": {"img": image, "fine": label},
            "triple": (image, label, row),
            "one-hot": (image, F.one_hot(torch.tensor(label), 2)),
            "half": (image, label + 0.5),
            "whole": (image, float(label)),
            "bytes": (image * 255, label),
            "last": (image.permute(1, 2, 0), label),
        }[self.kind]


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
            ["model.network._target_=mylab.MyNet", "model.network.width=4", "model.name=mine"],
            {"name": "mine", "network": {"_target_": "mylab.MyNet", "width": 4}},
        ),
        (
            ["model.loss={_target_:mylab.Focal,gamma:1}", "model.label_smoothing=0.1"],
            {"name": "cnn", "loss": {"_target_": "mylab.Focal", "gamma": 1}},
        ),
        (["model.loss._target_=torch.nn.CrossEntropyLoss"], {"name": "cnn"}),
        (["model.loss._target_=mylab.plain_loss"], {"loss": {"_target_": "mylab.plain_loss"}}),
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


def test_a_module_without_tests_or_validation(lab: Path, command: Callable) -> None:
    said = command("train", *QUICK, "model._target_=mylab.Untested", "test=false")
    assert said.status == 0, said.err
    said = command("train", *QUICK, "model._target_=mylab.Unvalidated", "data.val_size=0")
    assert said.status == 0, said.err


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
        (
            ["model.network._target_=mylab.NClasses"],
            "needs n_classes: set +model.network.n_classes",
        ),
        (["model.network._target_=mylab.NoForward"], "has no forward(self, images)"),
        (["model._target_=mylab.Unvalidated"], "has no validation_step; add one, which logs val/"),
        (["model._target_=mylab.Untested"], "or set test=false"),
        (["model._target_=mylab.Unlearning"], "has no configure_optimizers; add one"),
        (["model._target_=mylab.Deep"], "mylab.Deep needs depth: set +model.depth=...; "),
        (["model._target_=mylab.MyModule", "model.hiden=4"], "did you mean model.hidden?"),
        (["model._target_=mylab.OtherName"], "but the model logs val/right; log val/accuracy in"),
        (["model.network._target_=torch.utils.data.TensorDataset"], "is not a torch.nn"),
        (["model._target_=mylab.MyNet"], "is not a LightningModule; for a network of yours"),
        (["model.loss._target_=mylab.Rows"], "model.loss returned (64,) for logits (64, 10)"),
        (["model.loss._target_=mylab.Detached"], "leave out detach()"),
        (["model.loss._target_=torch.nn.NLLLoss"], "model.loss NLLLoss wants class numbers; "),
        (["model.loss._target_=mylab.OneArgument"], "called with logits and targets, and does not"),
        (["model.network._target_=mylab.MyNett"], "is not there; did you mean mylab.MyNet?"),
        (["model.network._target_=mylib.MyNet"], "may call; did you mean mylab.MyNet?"),
        (["model.network._target_=MyNet"], "has no module; name it too, as in mylab.MyNet"),
        (["model.network=mylab.MyNet"], "write model.network._target_=mylab.MyNet"),
        (["model.loss={_target_:", "mylab.Rows}"], "need quotes around key and value"),
        (["model.pretrained=a.pth"], "is not a key of this configuration, but of model=timm"),
        (["optimizer._target_=mylab.MyNet"], "does not make one; name a class of torch.optim"),
        (["scheduler._target_=torch.optim.lr_scheduler.ExponentialLR"], "set +scheduler.gamma=..."),
        (["data._target_=mylab.Pairs"], "use data=torch data.source.train._target_=mylab.Pairs"),
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


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("triple", "row 0 of Pairs is a tuple; it must be a pair of an image and its label"),
        ("one-hot", "or class numbers in place of one-hot labels"),
        ("half", "row 0 of Pairs has label 0.5; a label must be one whole number"),
        ("bytes", "divide them by 255, or give uint8"),
        ("last", "give image.permute(2, 0, 1)"),
        ("whole", None),
        ("dict", "data.image_key and data.label_key must name two of its entries (img, fine)"),
    ],
)
def test_items_that_are_no_pairs(
    lab: Path, command: Callable, kind: str, sentence: str | None
) -> None:
    words = ("data=torch", "data.num_workers=0", "data.source.train._target_=mylab.Pairs")
    said = command("train", *QUICK[1:], *words, f"data.source.train.kind={kind}")
    if sentence is None:
        assert said.status == 0, said.err
    else:
        assert said.status == 2 and sentence in said.sentence


def test_a_scheduler_that_waits_for_a_plateau(lab: Path, command: Callable) -> None:
    target = "torch.optim.lr_scheduler.ReduceLROnPlateau"
    said = command("train", *QUICK, f"scheduler={{_target_:{target},patience:0}}")
    assert said.status == 0, said.err


def test_an_error_of_the_users_network_begins_with_their_line(lab: Path, command: Callable) -> None:
    said = command("train", *QUICK, "model.network._target_=mylab.Broken")
    assert said.status == 1 and said.err.startswith("mixlab-train: mylab.py, line ")
