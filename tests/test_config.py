"""Where configurations lie, which keys are legal, and how a node becomes an object."""

from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from helpers.mixing_cases import check_mixing_config
from helpers.small_runs import SMALL, composed
from mixlab.config.allowlist import check_targets
from mixlab.config.build import build
from mixlab.config.keys import (
    absolute_paths,
    canonical,
    check_keys,
    config_dir,
    leaves,
    nearest_name,
    unknown_key,
)
from mixlab.config.retarget import names_taken
from mixlab.config.secrets import without_paths
from mixlab.errors import UserError
from mixlab.mixing.methods import CutMix, OneOf

GROUPS = ("data", "model", "mixing", "optimizer", "scheduler", "trainer", "logger", "metrics")
CHOICES = {
    group: sorted(p.stem for p in (config_dir() / group).glob("[!_]*.yaml")) for group in GROUPS
}
MIXING = sorted((config_dir() / "mixing").glob("[!_]*.yaml"))
NEEDS = {
    "data=torch": "data.source.train._target_=torchvision.datasets.FakeData",
    "data=lightning": "data.source.module._target_=mixlab.data.ImageDataModule",
    "data=npz": "data.path=my.npz",
    "data=folder": "data.path=photos",
    "data=csv": "data.path=labels.csv",
    "data=shards": "data.path=shards",
    "data=embeddings": "data.path=my.npz",
    "data=medmnist": "data.dataset=pathmnist",
}


@pytest.mark.parametrize("number", range(max(map(len, CHOICES.values()))))
def test_every_choice_of_every_group_composes(number: int) -> None:
    """The n-th choice of each group with the n-th of every other."""
    chosen = {group: next(islice(cycle(CHOICES[group]), number, None)) for group in GROUPS}
    overrides = [f"{group}={choice}" for group, choice in chosen.items()]
    overrides += [NEEDS[word] for word in overrides if word in NEEDS]
    cfg = composed(*overrides)
    assert cfg.data._target_ == "mixlab.data.ImageDataModule"
    assert (cfg.mixing is None) == (chosen["mixing"] == "none")
    check_targets(cfg, ["mixlab"])


@pytest.mark.parametrize("folder", ["experiment", "debug"])
def test_every_experiment_composes_and_debug_too(folder: str) -> None:
    for file in sorted((config_dir() / folder).glob("*.yaml")):
        cfg = composed(f"{folder}={file.stem}")
        debug = folder == "debug"
        assert cfg.task_name == ("debug" if debug else file.stem)
        assert cfg.existing == ("replace" if debug else "check")


@pytest.mark.parametrize("file", MIXING, ids=lambda path: path.stem)
def test_mixing_configs_have_the_same_knobs_and_say_what_they_do(file: Path) -> None:
    check_mixing_config(file)


def test_leaves_are_written_values() -> None:
    cfg = OmegaConf.create({"a": {"b": 1, "c": "${a.b}"}, "d": {}, "e": [1, {"f": 2}], "g": "???"})
    expected = {"a.b": 1, "a.c": "${a.b}", "d": {}, "e": [1, {"f": 2}], "g": "???"}
    assert dict(leaves(cfg)) == expected


REFERENCE = OmegaConf.create(
    {"mixing": {"probability": 1.0, "gate": "row", "method": {"alpha": 0.2}},
     "data": {"source": {"kwargs": None}}, "logger": {"wandb": {"mode": "auto"}}, "devices": 1}
)  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {"mixing": {"probability": 0.5}},
        {"mixing": {"gate": {"every": 5}}},  # below a plain value any key goes
        {"data": {"source": {"kwargs": {"root": "skin"}}}},  # and below an open node
        {"logger": {"wandb": None}},  # and a node may go
        {"callbacks": {"mine": {"_target_": "mylab.Mine", "word": "hello"}}},
    ],
)
def test_legal_keys(given: Any) -> None:
    check_keys(OmegaConf.create(given), REFERENCE)


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ({"mixing": {"probabilty": 0.5}}, "mixing.probability"),
        ({"mixing": {"alpha": 0.5}}, "mixing.method.alpha"),  # the right word in the wrong place
        ({"mixin": {"gate": "row"}}, "mixing.gate"),
        ({"mixin": "cutmix"}, "mixing"),
        ({"loger": {"wandb": {"_target_": "mylab.Mine"}}}, "logger.wandb.mode"),
        ({"data": {"source": {"kwarg": {"root": 1}}}}, "data.source.kwargs"),
    ],
)
def test_illegal_keys_name_the_nearest(given: Any, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"is not a key .* did you mean {nearest}\\?"):
        check_keys(OmegaConf.create(given), REFERENCE)


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert nearest_name("xyzzy", ["mixing.gate"]) is None
    assert nearest_name("mixing.prob", ["mixing.gate", "mixing.probability"]) is not None
    assert nearest_name("optimizer.momentum", ["optimizer.betas", "optimizer.eps"]) is None
    assert nearest_name("optimizer.lrr", ["optimizer.eps", "optimizer.lr"]) == "optimizer.lr"
    assert "did you mean" not in unknown_key("xyzzy", ["mixing.gate"])
    assert "did you mean" not in unknown_key("mixing.alpha", ["mixing"])


def test_the_last_part_of_a_key_is_looked_for_everywhere() -> None:
    legal = ["mixing.gate", "mixing.alpha_schedule", "mixing.method.alpha", "optimizer.lr"]
    for key in ("mixing.alfa", "mixing.alpha"):
        assert "did you mean mixing.method.alpha?" in unknown_key(key, legal)
    assert "did you mean optimizer.lr?" in unknown_key("data.lr", [*legal, "data.name"])


@pytest.mark.parametrize("mixing", [None, {"method": None}, {"method": {"_target_": None, "a": 1}}])
def test_what_acts_on_nothing_is_nothing(mixing: Any) -> None:
    given = OmegaConf.create({"mixing": mixing, "seed": 1})
    assert canonical(given) == {"mixing": None, "seed": 1}
    assert given.mixing == mixing, "the one given is left alone"


@pytest.mark.parametrize("rest", [{}, {"method": None}, {"methods": {"_target_": "mylab.Half"}}])
def test_a_callback_without_a_method_is_refused(rest: Any) -> None:
    with pytest.raises(UserError, match="nothing would be mixed"):
        canonical(OmegaConf.create({"mixing": {"_target_": "mylab.Half", **rest}}))


def test_paths_become_absolute(tmp_path: Path) -> None:
    cfg = OmegaConf.create(
        {"paths": {"root_dir": ".", "data_dir": "${.root_dir}/data", "log_dir": "/elsewhere/logs"}}
    )
    absolute_paths(cfg, tmp_path)
    assert cfg.paths == {
        "root_dir": str(tmp_path), "data_dir": str(tmp_path / "data"), "log_dir": "/elsewhere/logs",
    }  # fmt: skip


@pytest.mark.parametrize("target", ["os.system", "builtins.open", "shutil.rmtree", "mylab.Skin"])
@pytest.mark.parametrize("place", ["here", "list", "kwargs"])
def test_only_allowed_packages_are_called(target: str, place: str) -> None:
    node: Any = {"_target_": target}
    node = {"here": node, "list": {"x": [node]}, "kwargs": {"kwargs": {"y": node}}}[place]
    with pytest.raises(ValueError, match=r"add allow=\[mylab\]"):
        build({"_target_": "torch.nn.Identity", "kwargs": node})
    check_targets(node, allow=[target.split(".")[0]])


def test_build_makes_nested_objects_of_plain_values() -> None:
    cfg = OmegaConf.load(config_dir() / "mixing" / "one_of.yaml").method
    method = build(cfg)
    assert isinstance(method, OneOf) and isinstance(method.methods[1], CutMix)
    assert type(method.weights) is list, "not OmegaConf's own kind of list"


def test_a_class_that_takes_any_argument_may_stand_where_one_has_to_be_named() -> None:
    taken = names_taken("torchmetrics.aggregation.MeanMetric", "???", ())
    assert taken == {"nan_strategy", "kwargs"}


def test_build_of_nothing_is_nothing() -> None:
    assert build(None) is None
    assert build({"_target_": None, "alpha": 0.5}) is None


def test_build_passes_objects_through_untouched() -> None:
    method = CutMix(alpha=1.0)
    made = build({"_target_": "mixlab.callbacks.MixingCallback", "probability": 0.5}, method)
    assert made.method is method and made.policy.probability == 0.5


def test_a_partial_node_waits_for_its_arguments() -> None:
    node = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 1, "kwargs": {"lr": 2}}
    make = build(node)
    assert make([torch.zeros(1, requires_grad=True)]).defaults["lr"] == 2


def test_what_a_library_refuses_is_a_sentence_with_its_name() -> None:
    parameters = [torch.zeros(1, requires_grad=True)]
    make = build({"_target_": "torch.optim.SGD", "_partial_": True, "lr": -1})
    with pytest.raises(ValueError, match=r"torch\.optim\.SGD: Invalid learning rate: -1"):
        make(parameters)
    with pytest.raises(ValueError, match=r"torch\.nn\.Linear: missing a required argument"):
        build({"_target_": "torch.nn.Linear"})
    with pytest.raises(ValueError, match="takes no argument in_feature; did you mean in_features?"):
        build({"_target_": "torch.nn.Linear", "kwargs": {"in_feature": 1}})
    for extra in ({}, {"kwargs": {"in_features": 1}}):
        with pytest.raises(ValueError, match="torch.nn.Liner"):
            build({"_target_": "torch.nn.Liner", **extra})


def test_what_a_library_refuses_names_key_and_value() -> None:
    cfg = OmegaConf.create({"a": {"_target_": "torch.nn.Dropout", "p": 2}})
    with pytest.raises(UserError, match=r"torch\.nn\.Dropout: .*; a was given p=2$"):
        build(cfg.a)
    cfg.b = {"_target_": "torch.nn.Identity", "x": [cfg.a], "y": cfg.a}
    with pytest.raises(UserError, match=r"; b\.x was given p=2$"):
        build(cfg.b)


@pytest.mark.parametrize("word", ["_args_", "_recursive_", "_convert_"])
@pytest.mark.parametrize("inside", [False, True])
def test_other_words_of_hydras_are_refused(word: str, inside: bool) -> None:
    extra = {"kwargs": {word: [1]}} if inside else {word: [1]}
    with pytest.raises(UserError, match=f"{word} is not supported"):
        build({"_target_": "torch.nn.Identity", **extra})


def test_our_own_errors_stay_as_they_are() -> None:
    with pytest.raises(ValueError, match="^alpha must be a number above 0, got 0"):
        build({"_target_": "mixlab.mixing.methods.CutMix", "alpha": 0})


def test_small_runs_are_those_of_the_default_configuration() -> None:
    assert composed(*SMALL).mixing.method.alpha == composed().mixing.method.alpha


PLACES = {
    "root_dir": "/home/ada/lab",
    "data_dir": "/data",
    "log_dir": "/data/logs",
    "run_dir": "",
}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("/home/ada/lab", "."),
        ("/home/ada/lab/logs/runs/x", "logs/runs/x"),
        ("/home/ada/labor/x.csv", "<elsewhere>/x.csv"),
        ("/data/digits.npz", "<data_dir>/digits.npz"),
        ("/data/logs/best.ckpt", "<log_dir>/best.ckpt"),
        ("/mnt/secret/client/x.csv", "<elsewhere>/x.csv"),
        ("val/accuracy", "val/accuracy"),
        (["/data", 3, None], ["<data_dir>", 3, None]),
        ("data.path=/home/bob/x.csv", "data.path=<elsewhere>/x.csv"),
        ("data.path=x.csv", "data.path=x.csv"),
    ],
)
def test_a_record_that_leaves_the_machine_has_no_places_of_it(value: Any, told: Any) -> None:
    assert without_paths({"data": {"path": value}}, PLACES) == {"data": {"path": told}}
