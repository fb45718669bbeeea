"""Weights that were trained before: what is kept, what is left out, and what is frozen."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from helpers.small_runs import composed
from mixlab.data.preprocess import Normalize
from mixlab.data.spec import ImageSpec
from mixlab.errors import UserError
from mixlab.models.networks import Timm
from mixlab.models.networks.pretrained import create_pretrained, pretrained_scale
from mixlab.models.optimizers import parameter_groups, scale_learning_rates
from mixlab.training.build import build_data

NAME = "resnet10t"  # the smallest ResNet, whose stem is three convolutions


def spec(side: int = 64, channels: int = 3, classes: int = 5) -> ImageSpec:
    return ImageSpec(channels, side, side, tuple(f"class {n}" for n in range(classes)))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of a network with 1000 classes, as timm would publish them."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(timm.create_model(NAME).state_dict(), path)
    return path


def same(network: Any, weights: Path) -> dict[str, bool]:
    from safetensors.torch import load_file

    now = network.state_dict()
    return {k: torch.equal(now[k], v) for k, v in load_file(weights).items() if k in now}


def test_all_but_the_classifier_is_kept_at_any_size(weights: Path) -> None:
    network = Timm(spec(side=64), name=NAME, pretrained=str(weights))
    kept = same(network, weights)
    assert {key for key, equal in kept.items() if not equal} == {"fc.weight", "fc.bias"}
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


def test_a_classifier_for_as_many_classes_is_kept(weights: Path) -> None:
    assert all(same(Timm(spec(classes=1000), name=NAME, pretrained=str(weights)), weights).values())


def test_a_checkpoint_of_a_module_and_of_torch(tmp_path: Path, weights: Path) -> None:
    state = timm.create_model(NAME, num_classes=5).state_dict()
    torch.save({"state_dict": {f"network.{k}": v for k, v in state.items()}}, tmp_path / "a.ckpt")
    network = Timm(spec(), name=NAME, pretrained=str(tmp_path / "a.ckpt"))
    assert all(torch.equal(network.state_dict()[key], state[key]) for key in state)


def test_gray_images_get_the_sum_over_the_colors(weights: Path) -> None:
    gray: Any = Timm(spec(channels=1), name=NAME, pretrained=str(weights))
    color: Any = Timm(spec(), name=NAME, pretrained=str(weights))
    first = gray.conv1[0].weight
    torch.testing.assert_close(first, color.conv1[0].weight.sum(1, keepdim=True))


def test_gray_images_are_normalized_by_the_mean_over_the_colors() -> None:
    colors, gray = (pretrained_scale(NAME, channels) for channels in (3, 1))
    assert gray["std"] == [pytest.approx(sum(colors["std"]) / 3)] and len(colors["mean"]) == 3


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"small_stem": True}, "would replace the pretrained stem"),
        ({"pretrained": "not/there.pth"}, "not/there.pth is not there"),
        ({"name": "resnet18"}, "do not fit resnet18"),
        ({"freeze": "head"}, "model.freeze must be one of backbone"),
    ],
)
def test_what_cannot_be_is_a_sentence(weights: Path, given: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Timm(spec(), **{"name": NAME, "pretrained": str(weights), **given})


def test_a_saved_model_is_told_from_its_weights(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"it holds objects; save model.state_dict\(\)"):
        Timm(spec(), name=NAME, pretrained=str(tmp_path / "a.pth"))


def test_the_scale_of_an_unknown_model_is_a_sentence() -> None:
    with pytest.raises(UserError, match="timm has no model 'resnet1'"):
        pretrained_scale("resnet1", 3)


@pytest.mark.parametrize("content", [b"", b"not weights", None])
def test_a_file_of_something_else_is_a_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content) if content is not None else torch.save({"epoch": 1}, path)
    with pytest.raises(UserError, match="is not a file of weights|holds no weights"):
        create_pretrained(NAME, str(path))


def test_without_a_network_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="no weights of resnet10t: .* set HF_HOME"):
        create_pretrained(NAME, True)


def test_a_frozen_backbone_learns_nothing(weights: Path) -> None:
    network = Timm(spec(), name=NAME, pretrained=str(weights), freeze="backbone").train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimizer = torch.optim.SGD(parameter_groups(network), lr=1.0)
    network(torch.rand(4, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    changed = {k for k, value in network.state_dict().items() if not torch.equal(value, before[k])}
    assert changed == {"fc.weight", "fc.bias"}


def test_layers_learn_the_slower_the_earlier_they_are() -> None:
    network = Timm(spec(), name=NAME)
    groups = parameter_groups(network, "weights", layer_decay=0.5)
    optimizer = torch.optim.SGD(groups, lr=1.0, weight_decay=0.1)
    scale_learning_rates(optimizer)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len([*network.parameters()])
    by_name = {name: rates[id(parameter)] for name, parameter in network.named_parameters()}
    assert by_name["fc.weight"] == 1.0
    assert by_name["conv1.0.weight"] < by_name["layer1.0.conv1.weight"] < by_name["fc.weight"]
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.1}
    with pytest.raises(UserError, match="needs a network of timm"):
        parameter_groups(torch.nn.Linear(2, 2), layer_decay=0.5)


@pytest.mark.parametrize(
    ("words", "scale"),
    [
        (["model.pretrained=true"], pretrained_scale(NAME, 1)),
        (["model.pretrained=w.safetensors"], pretrained_scale(NAME, 1)),
        (
            ["model.pretrained=true", "data.normalize={mean:0.2,std:0.3}"],
            {"mean": [0.2], "std": [0.3]},
        ),
        ([], None),
    ],
)
def test_images_are_normalized_as_the_weights_expect(words: list[str], scale: Any) -> None:
    cfg = composed("data=digits", "model=timm", f"model.name={NAME}", *words)
    assert build_data(cfg).prepare.normalize == Normalize.of(scale, 1)


def test_training_begins_with_the_weights_and_their_normalization(
    here: Path, command: Callable, weights: Path
) -> None:
    (here / "w.safetensors").write_bytes(weights.read_bytes())
    words = (
        "train", "data=digits", "data.image_size=32", "model=timm", f"model.name={NAME}",
        "model.pretrained=w.safetensors", "model.freeze=backbone", "model.layer_decay=0.7",
        "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2", "logger=none",
        "trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "threads=1",
    )  # fmt: skip
    said = command(*words)
    assert said.status == 0, said.err
    (record,) = here.rglob("run.json")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert json.loads(record.read_text())["weights"]["sha256"] == digest
    assert json.loads(record.read_text())["results"]["last"]["test/loss"] > 0
    trained = torch.load(record.parent / "checkpoints" / "last.ckpt", weights_only=True)
    kept = trained["state_dict"]["network.layer1.0.conv1.weight"]
    assert torch.equal(kept, timm.models.load_state_dict(str(weights))["layer1.0.conv1.weight"])
    later = time.time() + 60  # than the record
    os.utime(here / "w.safetensors", (later, later))
    assert command(*words).status == 0, "the same weights, copied again"
    (here / "w.safetensors").write_bytes(weights.read_bytes() + b" ")
    os.utime(here / "w.safetensors", (later, later))
    for sweep in ((), ("-m",)):
        said = command(*words, *sweep)
        assert said.status == 2 and "began with other weights: " in said.sentence
