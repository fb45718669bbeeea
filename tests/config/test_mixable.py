"""What cannot be mixed is refused where a run is planned, in the words of the training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from helpers.small_runs import composed
from mixlab.config.build import build
from mixlab.config.keys import config_dir
from mixlab.config.mixable import check_mixable, most, surely, why_not_mixable
from mixlab.config.row_shapes import row_shape
from mixlab.errors import UserError
from mixlab.mixing import Policy
from mixlab.mixing import strength as strength_module
from mixlab.mixing.given_maps import without_network
from mixlab.mixing.pairing import chance_of_itself
from mixlab.mixing.strength import at_strength, check_reach, mixed_share
from mixlab.sweeps import grid
from mixlab.training.supervise import train

ONE_STEP = ("trainer=cpu", "logger=csv", "trainer.max_epochs=1", "trainer.limit_train_batches=1")
OURS = ("trainer=cpu", "logger=csv", "data=digits")
MIXING = {path.stem for path in (config_dir() / "mixing").glob("[!_]*.yaml")} - {"none"}
OWN_METHOD = """
from mixlab.mixing import CutMix

class MyMix(CutMix):
    pass
"""


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    why_not_mixable.cache_clear()
    surely.cache_clear()
    most.cache_clear()


def planned(cfg: DictConfig) -> str | None:
    """The sentence of the plan; None where it is accepted."""
    try:
        check_mixable(cfg)
    except UserError as error:
        return str(error)
    return None


def trained(cfg: DictConfig, folder: Path) -> str:
    """The sentence of the training."""
    cfg = cfg.copy()
    cfg.paths.root_dir, cfg.paths.log_dir = str(folder), str(folder / "logs")
    with pytest.raises(UserError) as raised:
        train(cfg)
    return str(raised.value)


@pytest.mark.parametrize(
    "words",
    [
        "data=digits mixing=cutmix mixing.strength=0.45",
        "data=digits mixing=cutmix mixing.strength=0.29 data.batch_size=4",
        "data=digits mixing=cutmix mixing.strength=0.29 data.image_size=16",
        "data=digits mixing=mixup mixing.strength=0.5",
        "data=digits mixing=one_of mixing.strength=0.45",
        "data=digits mixing=cutout mixing.strength=0.2 mixing.partners=derangement",
        "data=digits mixing=point_mixup",
        "experiment=table mixing=cutmix",
        "experiment=table mixing=cutmix data.batch_size=8 mixing.partners=dataset",
        "experiment=table mixing=cutmix mixing.strength=0.1",
        "experiment=table mixing=signal_cutmix",
        "experiment=table mixing=mixup mixing.strength=0.498",
        "experiment=table mixing=sequence mixing.mix=inputs",
        "experiment=table mixing=transmix",
        "experiment=table mixing=tokenmix",
        "experiment=signal mixing=mosaic",
        "experiment=signal mixing=signal_cutmix mixing.strength=0.42",
        "experiment=points mixing=puzzlemix",
        "experiment=points mixing=point_mixup mixing.strength=0.499",
        "experiment=table mixing=alignmix mixing.layers=[input]",
        "data=digits model=cnn mixing=transmix",
        "data=digits model=cnn mixing=manifold_mixup model.compile=true",
        "data=digits model=cnn mixing=tokenmix model.compile=true",
    ],
)
def test_the_sentence_is_that_of_the_training(words: str, here: Path) -> None:
    cfg = composed(*ONE_STEP, *words.split())
    assert planned(cfg) == trained(cfg, here)


@pytest.mark.parametrize(
    "words",
    [
        "experiment=table mixing=alignmix",
        "experiment=signal model=cnn1d mixing=alignmix",
        "data=digits model=mlp mixing=patchup_hard mixing.layers=[last]",
    ],
)
def test_features_without_height_and_width_are_refused(words: str, here: Path) -> None:
    cfg = composed(*ONE_STEP, *words.split())
    said = planned(cfg)
    assert said is not None
    (what, _, remedy), at_last = said.partition(", which the features of "), trained(cfg, here)
    assert at_last.startswith(what) and "the features of layer" in at_last
    assert remedy.rpartition("use ")[2] in at_last


@pytest.mark.parametrize(
    "words",
    [
        "experiment=table mixing=manifold_mixup",
        "experiment=table mixing=alignmix mixing.probability=0",
        "data=digits model=cnn mixing=alignmix",
        "data=digits model=cnn mixing=manifold_mixup mixing.layers=[input] model.compile=true",
        "data=digits model=cnn mixing=cutmix model.compile=true",
        "data=digits model=timm model.name=vit_tiny_patch16_224 mixing=transmix",
    ],
)
def test_a_network_that_may_serve_is_not_refused(words: str) -> None:
    assert planned(composed(*ONE_STEP, *words.split())) is None


def refuses(method: Any, shape: tuple[int, ...]) -> bool:
    """Whether one of several draws for random rows is refused; a choice for a batch is drawn."""
    bare = without_network(method, torch.Generator().manual_seed(0))
    rows, targets = torch.rand(4, *shape), torch.eye(4)
    try:
        for seed in range(8):
            bare(rows, targets, np.random.default_rng(seed))
    except UserError:
        return True
    return False


@pytest.mark.parametrize("data", ["digits", "waves", "wine", "embeddings"])
def test_every_method_is_refused_where_it_refuses_and_nowhere_else(data: str, here: Path) -> None:
    np.savez(here / "my.npz", X=np.ones((12, 5, 7)), y=np.arange(12) % 2)
    words = ("data.path=my.npz",) if data == "embeddings" else ()
    rows = composed(*OURS[:2], f"data={data}", *words, "mixing=none")
    shape = row_shape(rows.data)
    assert shape is not None
    for name in sorted(MIXING):
        cfg = rows.copy()
        cfg.model._target_ = "mylab.Net"  # of which nothing is known
        cfg.mixing = OmegaConf.merge(of_file("_base"), of_file(name))
        direct = not cfg.mixing._target_.endswith(
            (".HiddenMixingCallback", ".LearnedMixingCallback")
        )
        expected = direct and refuses(build(cfg.mixing.method), shape)
        assert (planned(cfg) is not None) == expected, name


def of_file(name: str) -> Any:
    node: Any = OmegaConf.load(config_dir() / "mixing" / f"{name}.yaml")
    node.pop("defaults", None)
    return node


@pytest.mark.parametrize("name", ["cutmix", "one_of", "mixup", "cutout", "deit", "sequence"])
@pytest.mark.parametrize("partners", ["permutation", "cyclic"])
def test_the_strengths_that_are_refused_are_those_that_training_refuses(
    name: str, partners: str
) -> None:
    cfg = composed(*OURS, f"mixing={name}", f"mixing.partners={partners}").copy()
    method, shape, policy = build(cfg.mixing.method), (1, 32, 32), Policy(partners=partners)
    one = at_strength(policy, method, 0.01, shape, cfg.data.batch_size)
    most = 0.01 / one.probability
    reached = mixed_share(method, shape, chance_of_itself(partners, cfg.data.batch_size))
    for share in (0, 0.5, 0.9, 0.99, 1, 1.004, 1.006, 1.02, 1.2):
        cfg.mixing.strength = min(1.0, most * share)
        expected = None
        try:
            check_reach(cfg.mixing.strength, method, reached)
        except UserError as error:
            expected = str(error)
        assert planned(cfg) == expected
        assert (expected is None) == (share < 1.005)


@pytest.mark.parametrize(
    ("words", "accepted"),
    [
        ("trainer=cpu", True),
        ("trainer=ddp_sim", False),
        ("trainer=ddp_sim mixing.partners=across_ranks", True),
        ("trainer=ddp_sim mixing.partners=cyclic", True),
        ("trainer=gpu trainer.devices=-1", True),  # unknown: training decides
    ],
)
def test_the_rows_of_one_process_decide(words: str, accepted: bool) -> None:
    """A row among few is more often its own partner, so that less of it can be replaced."""
    base = ("data=digits", "mixing=cutmix", "mixing.strength=0.288", "data.batch_size=32")
    assert (planned(composed(*base, *words.split())) is None) == accepted


@pytest.mark.parametrize(
    "words",
    [
        "mixing=cutmix mixing.probability=0",
        "mixing=cutmix mixing.gate={every:500}",
        "mixing=cutmix mixing.class_probability={0:0,1:0,2:0}",
        "mixing=manifold_mixup",
        "mixing=patchup_hard mixing.layers=[stage1] model=cnn",
        "mixing=mixup mixing.strength=0.4",
        "mixing=mixup_many",
        "mixing=none",
    ],
)
def test_what_training_may_accept_is_not_refused(words: str) -> None:
    assert planned(composed("experiment=table", *words.split())) is None


@pytest.mark.parametrize(
    ("words", "accepted"),
    [
        ("mixing=saliencymix mixing.strength=0.36", True),  # noise: 0.26
        ("mixing=saliencymix mixing.strength=0.5", False),
        ("mixing=patchup_soft mixing.strength=0.3", True),  # of features
        ("mixing=manifold_mixup mixing.layers=[stage1] mixing.strength=0.4", True),
    ],
)
def test_what_only_the_training_can_measure_is_left_to_it(words: str, accepted: bool) -> None:
    assert (planned(composed(*OURS, *words.split())) is None) == accepted


def test_an_unused_choice_is_not_asked() -> None:
    cfg = composed("experiment=table", "mixing=randommix").copy()
    assert "CutMix needs" in str(planned(cfg))
    cfg.mixing.method.weights = [1, 0, 0, 0]
    assert planned(cfg) is None


def test_methods_data_and_callbacks_of_the_users_are_left_to_the_training(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "mylab.py").write_text(OWN_METHOD)
    monkeypatch.syspath_prepend(here)
    given = composed("experiment=table", "mixing=cutmix")
    assert planned(given) is not None
    for key, target in (
        ("mixing.method._target_", "mylab.MyMix"),
        ("mixing._target_", "mylab.MyCallback"),
        ("data.source._target_", "mylab.MyData"),
        ("data._target_", "mylab.MyModule"),
    ):
        cfg = given.copy()
        OmegaConf.update(cfg, key, target)
        assert planned(cfg) is None
    own = composed("experiment=table", "mixing=one_of").copy()
    own.mixing.method.methods[0]._target_ = "mylab.MyMix"
    assert planned(own) is None


def test_files_of_the_users_need_not_have_every_key() -> None:
    cfg = composed("experiment=table", "mixing=cutmix").copy()
    cfg.mixing = {key: cfg.mixing[key] for key in ("_target_", "method")}
    assert "got (16, 13)" in str(planned(cfg))
    del cfg.data["batch_size"]
    assert planned(cfg) is None


@pytest.mark.parametrize(
    ("name", "asks"),
    [("automix", "AutoMix"), ("mixup_both_classes", "BothClasses"), ("cutmix", None)],
)
def test_what_needs_one_class_is_refused_for_a_model_of_several(
    name: str, asks: str | None
) -> None:
    words = ("data=digits", f"mixing={name}")
    several = "model._target_=mixlab.models.MultiLabelClassifier"
    assert planned(composed(*words)) is None
    said = planned(composed(*words, several, "model.loss=binary_cross_entropy"))
    assert said is None if asks is None else str(said).startswith(f"{asks} needs one class a row")


def test_a_network_in_the_method_is_not_loaded() -> None:
    cfg = composed(*OURS, "mixing=snapmix", "mixing.strength=0.9").copy()
    assert "cannot be reached" in str(planned(cfg))
    network = {"_target_": "mixlab.models.networks.timm.Timm", "name": "resnet18"}
    OmegaConf.update(cfg, "mixing.method.saliency.network", network, force_add=True)
    with patch("mixlab.config.mixable.build", side_effect=AssertionError):
        assert planned(cfg) is None


def test_pictures_too_large_to_measure_in_a_plan_are_left_to_the_training() -> None:
    words = (*OURS, "mixing=cutmix", "mixing.strength=0.45")
    with patch("mixlab.mixing.strength.shares_of_draws", side_effect=AssertionError):
        assert planned(composed(*words, "data.image_size=600")) is None


def test_arms_that_ask_the_same_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    inner = strength_module.shares_of_draws

    def counted(method: Any, *where: Any) -> Any:
        calls.append(method.alpha)
        return inner(method, *where)

    monkeypatch.setattr(strength_module, "shares_of_draws", counted)
    cfg = composed(*OURS, "mixing=cutmix").copy()
    for number in range(60):
        cfg.optimizer.lr = number + 1
        cfg.mixing.strength = 0.01 * (number % 10)
        cfg.mixing.method.alpha = 1 + number % 3
        assert planned(cfg) is None
    assert sorted(calls) == [1, 2, 3]
    for strength in (0.45, 0.5, 0.6):
        cfg.mixing.strength = strength
        assert "cannot be reached" in str(planned(cfg))
    assert len(calls) == 4, "the few draws say that more are needed, and those are made once"


def test_a_plan_is_refused_as_a_whole_and_a_composition_is_not(here: Path) -> None:
    """A search composes its choices with knobs that no trial has."""
    words = [*OURS, "mixing=cutmix", "mixing.strength=0.35"]
    assert composed(*words).mixing.strength == 0.35
    fine = ["mixing=mixup", *OURS]
    with pytest.raises(UserError, match="cannot be reached: CutMix"):
        grid.plan([fine, words], [0, 1], lambda each: composed(*each))
    with pytest.raises(UserError, match="cannot be reached: CutMix"):
        grid.single_job(words, lambda each: composed(*each))
    assert len(grid.plan([fine], [0, 1], lambda each: composed(*each))) == 2


@pytest.mark.parametrize(
    "words",
    [
        "-m data=digits mixing=mixup,cutmix mixing.strength=0.45 seeds=2",
        "data=digits mixing=cutmix mixing.strength=0.45",
        "-m experiment=table mixing=mixup,cutmix",
        "experiment=table mixing=cutmix",
    ],
)
def test_no_folder_is_left(words: str, here: Path, command: Callable) -> None:
    said = command("train", *words.split(), "logger=csv")
    assert said.status == 2 and said.out == ""
    assert "CutMix" in said.sentence and not (here / "logs").exists()
