"""Strength, the alpha over time, probabilities of classes and ablations, in whole trainings."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from helpers.small_runs import (
    Plain,
    SignalAt,
    Watch,
    checkpoint,
    differences,
    loader_of_lists,
    small,
    train_with,
    trainer,
)
from mixlab.callbacks import Interrupted, MixingCallback
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch
from mixlab.mixing.methods import CutMix, Cutout, Mixup
from mixlab.runs import run_folder
from mixlab.training.build import build_data
from mixlab.training.supervise import train

SHORT: Any = {"limit_val_batches": 1}
KNOBS = {
    "strength": ["mixing=cutmix", "mixing.strength=0.2"],
    "strength of pictures": ["mixing=saliencymix", "mixing.strength=0.15"],
    "alpha_schedule": ["mixing=mixup", "mixing.alpha_schedule={cosine:[0.1,2]}"],
    "class_probability": ["mixing=cutmix", "mixing.class_probability={3:0.2,5:0}"],
    "mix": ["mixing=cutmix", "mixing.mix=inputs", "mixing.strength=0.2"],
}  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> pl.LightningDataModule:
    return build_data(small(tmp_path))


@pytest.mark.parametrize(
    ("method", "figure"),
    [(Mixup(0.4), "own_share"), (CutMix(1.0), "own_share"), (Cutout(0.8), "own_content")],
)
def test_the_logged_own_share_is_what_the_strength_leaves(
    tmp_path: Path, data: pl.LightningDataModule, method: Any, figure: str
) -> None:
    callback = MixingCallback(method, strength=0.25)
    run = trainer(tmp_path, callback, max_epochs=5, **SHORT)
    logged: list[float] = []

    class Note(pl.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            logged.append(float(trainer.callback_metrics[f"mixing/{figure}"]))

    run.callbacks.append(Note())  # pyright: ignore
    run.fit(Plain(), data)
    found = torch.tensor(logged)
    rows = 1150 * 5  # of the training part, in five epochs
    spread = 0.45 / rows**0.5  # a share has a standard deviation of less than 0.45
    assert abs(found.mean() - 0.75) < 3 * spread, "within three standard errors"
    assert 0 < callback.policy.probability < 1
    if figure == "own_content":
        assert run.callback_metrics["mixing/own_share"] == 1, "the label is kept"


@pytest.mark.parametrize(
    ("words", "strength"),
    [
        (["mixing=saliencymix"], 0.15),
        (["mixing=mixup", "mixing.partners=same_class", "data.batch_size=8"], 0.15),
    ],
)
def test_so_it_is_where_pictures_and_labels_decide(
    tmp_path: Path, words: list[str], strength: float
) -> None:
    cfg = small(
        tmp_path, *words, f"mixing.strength={strength}", "trainer.limit_train_batches=1.0",
        "trainer.max_epochs=4",
    )  # fmt: skip
    train(cfg)
    with (run_folder(cfg) / "metrics.csv").open() as file:
        own = [float(row["mixing/own_share"] or "nan") for row in csv.DictReader(file)]
    assert 1 - np.nanmean(own) == pytest.approx(strength, rel=0.06)


def test_rows_of_anybody_without_a_partner_are_those_of_the_first_batch() -> None:
    callback = MixingCallback(Mixup(1.0), strength=0.2, partners="same_class")
    batches = [
        Batch(torch.rand(8, 1, 4, 4), torch.eye(6)[classes], Address(0, rank))
        for rank, classes in enumerate(([0, 0, 1, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2, 3, 3]))
    ]
    callback.mix(batches[0])
    assert callback.policy.probability == pytest.approx(0.2 / (0.5 * 0.5))
    ranks = [MixingCallback(Mixup(1.0), strength=0.1, partners="same_class") for _ in batches]
    for batch, each in zip(batches, ranks, strict=True):
        each.gather = lambda _: batches
        each.mix(batch)
    assert ranks[0].policy.probability == ranks[1].policy.probability < 1


@pytest.mark.parametrize("mix", ["inputs", "labels"])
def test_an_ablation_mixes_as_many_rows_as_the_whole_method(mix: str) -> None:
    whole, half = (MixingCallback(CutMix(1.0), strength=0.2, mix=each) for each in ("both", mix))
    for callback in (whole, half):
        callback.reach((1, 16, 16), 32)
    assert half.policy.probability == whole.policy.probability > 0.2


def test_probabilities_by_name_are_those_of_the_classes() -> None:
    callback = MixingCallback(Mixup(1.0), class_probability={"seven": 0.25, 3: 0.5})
    names = ("zero", "seven", "two", "three")
    spec = SimpleNamespace(class_names=names, shape=(1, 16, 16))
    known: Any = SimpleNamespace(spec=spec, multi_label=False, has_masks=False, batch_size=32)
    callback.learn(known, 1)
    assert callback.policy.class_probability == {1: 0.25, 3: 0.5}


def test_a_loader_of_anybodys_has_its_strength_from_the_first_batch(tmp_path: Path) -> None:
    callback = MixingCallback(Mixup(1.0), strength=0.2, num_classes=10)
    trainer(tmp_path, callback).fit(Plain(), loader_of_lists(), loader_of_lists())
    assert callback.policy.probability == pytest.approx(0.2 / (0.5 * (1 - 1 / 8)))
    state: dict[str, Any] = {}
    run: Any = type("One", (), {"world_size": 1, "is_global_zero": True})
    callback.on_save_checkpoint(run, run, state)
    resumed = MixingCallback(Mixup(1.0), strength=0.2, num_classes=10)
    resumed.on_load_checkpoint(run, run, state)
    resumed.reach((1, 16, 16), 2)  # as if it went on with a smaller batch
    assert resumed.policy.probability == callback.policy.probability


def test_too_much_strength_is_refused_before_the_first_step(
    tmp_path: Path, data: pl.LightningDataModule
) -> None:
    module = Plain()
    with pytest.raises(UserError, match="strength=0.5 cannot be reached: CutMix"):
        trainer(tmp_path, MixingCallback(CutMix(1.0), strength=0.5)).fit(module, data)
    assert not module.given


@pytest.mark.parametrize("knob", KNOBS)
def test_a_resumed_run_draws_the_same(tmp_path: Path, knob: str) -> None:
    overrides = [*KNOBS[knob], "checkpoint_minutes=0"]
    whole, cut = (small(tmp_path / name, *overrides) for name in ("whole", "cut"))
    straight, first, second = Watch(), Watch(), Watch()
    train_with(whole, straight)
    with pytest.raises(Interrupted):
        train_with(cut, first, SignalAt(0, 2))
    train_with(cut, second)
    assert len(first.steps) < len(straight.steps)
    for ours, theirs in zip(reversed(second.steps), reversed(straight.steps), strict=False):
        assert torch.equal(ours.images, theirs.images) and ours.address == theirs.address
        assert torch.equal(ours.targets, theirs.targets)
    states = (checkpoint(cfg)["state_dict"] for cfg in (whole, cut))
    assert not [*differences(*states)]


def test_paired_runs_of_an_ablation_differ_in_one_side(tmp_path: Path) -> None:
    seen = {}
    for mix in ("both", "inputs", "labels"):
        watch = Watch()
        train_with(small(tmp_path / mix, "mixing=mixup", f"mixing.mix={mix}"), watch)
        seen[mix] = watch.steps
    for both, inputs, labels in zip(*seen.values(), strict=True):
        assert torch.equal(both.images, inputs.images)
        assert torch.equal(both.targets, labels.targets)
        assert (inputs.targets.amax(1) == 1).all() and not torch.equal(labels.images, both.images)


def test_classes_are_named_by_the_data(tmp_path: Path) -> None:
    watch = Watch()
    cfg = small(
        tmp_path, "mixing=mixup", "mixing.partners=other_class", "mixing.probability=0",
        "mixing.class_probability={3:1}",
    )  # fmt: skip
    train_with(cfg, watch)
    for step in watch.steps:
        mixed = step.targets.amax(1) < 1
        assert mixed.any() and (step.targets[mixed][:, 3] > 0).all()
    cfg = small(tmp_path / "wrong", "mixing=mixup", "mixing.class_probability={three:1}")
    with pytest.raises(
        UserError, match="has the class 'three', which is not one of the 10 classes, 0"
    ):
        train(cfg)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["mixing=mixup", "mixing.strength=0.6"], "strength=0.6 cannot be reached: Mixup"),
        (["mixing=mixup", "mixing.strength=2"], r"mixing.strength must be a number in \[0, 1\]"),
        (["mixing.strength=0.2", "mixing.probability=0.5"], "strength=0.2 sets the probability"),
        (["mixing.mix=label"], "mixing.mix must be one of both, inputs, labels, got 'label'"),
        (["mixing=cutout", "mixing.alpha_schedule={linear:[1,2]}"], "alpha, and Cutout has none"),
        (["mixing.alpha_schedule={line:[1,2]}"], "mixing.alpha_schedule must be {linear: "),
        (["mixing.class_probability={cat:2}"], "class_probability.cat must be a number in"),
        (
            ["mixing.class_probability={1:0.2}", "mixing.gate=batch"],
            "^mixing.class_probability decides row by row, got mixing.gate=batch; use mixing.gate",
        ),
        (["mixing.class_probability={3:2}"], r"^mixing.class_probability\.3 must be"),
        (["mixing.partners=by_method"], "^mixing.partners=by_method is for"),
        (["mixing.method.alpha=0"], "^mixing.method.alpha must .* mixing.probability=0 mixes noth"),
        (["mixing.schedule={off_after:2}"], "^mixing.schedule.off_after must be"),
        (["mixing.schedule=linaer"], "^mixing.schedule must be .*; did you mean linear"),
        (["mixing.gate=rows"], "^mixing.gate must be .*; did you mean row"),
    ],
)
def test_bad_values_are_refused_before_anything_is_loaded(
    tmp_path: Path, overrides: list[str], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        small(tmp_path, *overrides)


def test_masks_and_several_labels_are_refused() -> None:
    masks, several = (
        SimpleNamespace(multi_label=not masks, has_masks=masks) for masks in (True, False)
    )
    with pytest.raises(UserError, match="for labels of images, not for masks"):
        MixingCallback(CutMix(1.0), mix="labels").learn(masks, 1)
    for data, what in ((masks, "masks"), (several, "several labels an image")):
        callback = MixingCallback(CutMix(1.0), class_probability={1: 0.5})
        with pytest.raises(
            UserError, match=f"needs one class an image, and these data have {what}"
        ):
            callback.learn(data, 1)
    batch = Batch(torch.rand(4, 1, 8, 8), torch.rand(4, 3, 8, 8), Address(0))
    with pytest.raises(UserError, match="not for masks"):
        MixingCallback(CutMix(1.0), mix="inputs").mix(batch)


def test_the_alpha_in_effect_is_logged(tmp_path: Path, data: pl.LightningDataModule) -> None:
    callback = MixingCallback(Mixup(9.0), alpha_schedule={"linear": [0.5, 1.5]})
    run = trainer(tmp_path, callback, limit_train_batches=4, **SHORT)
    run.fit(Plain(), data)
    assert run.callback_metrics["mixing/alpha"] == pytest.approx(0.5 + (1 + 3 / 4) / 2)
