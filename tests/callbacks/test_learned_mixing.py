"""AutoMix in whole trainings: what it trains, what it leaves alone, and how it goes on."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from helpers.small_runs import (
    Plain,
    SignalAt,
    Watch,
    checkpoint,
    composed,
    differences,
    loader_of_lists,
    small,
    train_with,
    trainer,
)
from mixlab.callbacks import Interrupted, LearnedMixingCallback, MixingCallback
from mixlab.callbacks.learned_mixing import map_layer
from mixlab.errors import UserError
from mixlab.ledger.audit import audit
from mixlab.mixing import Address, Batch, CutMix, Mixup, OneOf
from mixlab.mixing.masks import mean_share, painted
from mixlab.mixing.methods import AutoMix
from mixlab.previews.batches import mixed
from mixlab.runs import run_folder

Learned: Any = partial(LearnedMixingCallback, num_classes=10)
RUN = ("model=cnn_bn", "mixing=automix")


class Convolutions(Plain):
    """Anybody's module, with a network that names no stages."""

    def __init__(self, layers: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        body = [nn.Conv2d(1, 4, 3, padding=1), *[nn.Conv2d(4, 4, 1) for _ in range(layers - 1)]]
        self.network = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


class Noted(pl.Callback):
    """The learner at each batch's start, and how far its raw masks are from their shares."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self.blocks: list[dict[str, Any]] = []
        self.callback: Any = None

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.callback = next(c for c in trainer.callbacks if isinstance(c, LearnedMixingCallback))
        learner, images = self.callback.learner, self.callback.seen.before.images
        own = np.linspace(0.05, 0.95, len(images))
        with torch.no_grad():
            raw = learner.network(images, np.roll(np.arange(len(images)), 1), own)
        self.gaps.append(float((raw.mean((1, 2, 3)) - torch.from_numpy(own)).abs().mean()))
        self.blocks.append({k: v.clone() for k, v in learner.network.block.state_dict().items()})


def fitted(module: Any, callback: Any, folder: Path, **options: Any) -> Any:
    run = trainer(folder, callback, **{"max_epochs": 1, **options})
    run.fit(module, loader_of_lists(), loader_of_lists())
    return run


def test_a_resumed_run_is_bit_identical(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = (*RUN, "checkpoint_minutes=0")
    whole, cut = (small(tmp_path / name, *overrides) for name in ("whole", "cut"))
    straight, second = Watch(), Watch()
    train_with(whole, straight)
    with pytest.raises(Interrupted):
        train_with(cut, SignalAt(1, 2))
    train_with(cut, second)
    assert 0 < len(second.steps) < len(straight.steps)
    for ours, theirs in zip(reversed(second.steps), reversed(straight.steps), strict=False):
        assert torch.equal(ours.images, theirs.images)
    kept = [checkpoint(cfg) for cfg in (whole, cut)]
    for part in ("state_dict", "optimizer_states", "mixing", "mixing_learned"):
        assert part in kept[0] and not [*differences(*(each[part] for each in kept))]
    assert audit([str(run_folder(whole))], steps=3, reach=8, seed=0), capsys.readouterr().out


def test_the_classifier_is_saved_as_without_mixing(tmp_path: Path) -> None:
    """At probability 0 it is also trained so, to the bit, while the mix block learns."""
    never = small(tmp_path / "never", *RUN, "mixing.probability=0")
    none = small(tmp_path / "none", "model=cnn_bn", "mixing=none")
    results = [train_with(cfg) for cfg in (never, none)]
    kept = [checkpoint(cfg) for cfg in (never, none)]
    assert not [*differences(*(each["state_dict"] for each in kept))]
    assert results[0]["last"]["test/loss"] == results[1]["last"]["test/loss"]
    assert set(kept[0]) - set(kept[1]) == {"mixing", "mixing_learned"}


def test_each_step_follows_mixes_and_learns_in_this_order(tmp_path: Path) -> None:
    noted = Noted()
    train_with(small(tmp_path, *RUN, "trainer.max_epochs=1"), noted)
    learner, seen = noted.callback.learner, noted.callback.seen
    assert len(noted.gaps) == 4 and learner.updates == 3, "the first step has none to follow"
    assert all([*differences(*pair)] for pair in zip(noted.blocks, noted.blocks[1:], strict=False))
    torch.testing.assert_close(mean_share(seen.blend.mask), seen.blend.share, rtol=0, atol=1e-6)
    assert painted(seen.blend.mask).std((2, 3)).max() > 1e-4


@pytest.mark.parametrize(
    "words",
    [
        ("trainer.precision=bf16-mixed",),
        ("trainer.precision=bf16-true",),
        ("trainer.accumulate_grad_batches=2",),
        ("callbacks=[default,ema]",),
        ("mixing.method.exact=false", "mixing.alpha_schedule={linear: [0.5, 2.0]}"),
        ("mixing.partners=second_pass", "data.batch_size=300"),
        ("model=resnet20",),
    ],
    ids=str,
)
def test_with_other_settings(tmp_path: Path, words: tuple[str, ...]) -> None:
    noted = Noted()
    cfg = small(tmp_path, *RUN, "trainer.max_epochs=1", *words)
    results = train_with(cfg, noted)
    assert np.isfinite(results["last"]["test/loss"]) and np.isfinite(noted.gaps).all()
    steps = 2 if "accumulate" in words[0] else len(noted.gaps)
    assert noted.callback.learner.updates == steps - 1


def test_a_compiled_network_is_looked_at_through_its_copy(tmp_path: Path) -> None:
    states = []
    for compiled in (False, True):
        module = Convolutions()
        if compiled:
            module.network.compile(backend="eager")
        fitted(module, Learned(AutoMix(), layer="0"), tmp_path)
        states.append(module.state_dict())
    assert not [*differences(*states)]
    module = Convolutions()
    module.network = torch.compile(module.network, backend="eager")  # pyright: ignore
    with pytest.raises(UserError, match=r"torch.compile rules out; set model.compile=false"):
        fitted(module, Learned(AutoMix(), layer="_orig_mod.0"), tmp_path)


def test_anybodys_module_and_loader_have_learned_masks(tmp_path: Path) -> None:
    module, callback = Convolutions(), Learned(OneOf([AutoMix(), CutMix(1.0)]), layer="0")
    run = fitted(module, callback, tmp_path)
    assert len(module.given) == 4 and callback.learner.updates == 3
    images, _ = next(iter(loader_of_lists()))
    (predicted,) = run.predict(module, DataLoader(images, 8))  # pyright: ignore  # the network alone
    assert torch.equal(predicted, module.eval().network(images))


def test_pairs_that_teach_are_others_than_those_that_are_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[tuple[Any, ...]] = []
    first, second = Learned(AutoMix(), layer="0"), Learned(AutoMix(), layer="0")

    def note(learner: Any, *given: Any, rows: int) -> None:
        taught.append((*given[-2:], rows))

    monkeypatch.setattr("mixlab.mixing.mask_learner.MaskLearner.learn", note)
    run = trainer(tmp_path, first, second, max_epochs=1, limit_train_batches=1)
    run.fit(Convolutions(), loader_of_lists())
    (partner, own, rows), (another, _, _) = taught
    assert rows == 8 and not np.array_equal(partner, another), "by their positions"
    assert not np.array_equal(partner, first.seen.blend.source[:, 1].numpy())
    assert abs(own - first.seen.blend.share[:, 0].numpy()).max() > 1e-3


def test_a_batch_of_one_stays_as_it_is(tmp_path: Path) -> None:
    module, callback = Convolutions(), Learned(AutoMix(), layer="0")
    loader = loader_of_lists(rows=1)
    with pytest.warns(UserWarning, match="one row has no partner"):
        trainer(tmp_path, callback, max_epochs=1).fit(module, loader)
    (images, targets), (clean, _) = module.given[0], next(iter(loader))
    torch.testing.assert_close(images, clean)
    torch.testing.assert_close(targets, torch.eye(10)[:1])


def test_a_preview_has_masks_of_a_block_before_its_training() -> None:
    cfg = composed("data=digits", *RUN, "threads=1")
    images = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    seen = mixed(cfg, Batch(images, torch.eye(10)[:6], Address(0)))
    torch.testing.assert_close(mean_share(seen.blend.mask), seen.blend.share, rtol=0, atol=1e-6)


def test_the_layer_is_the_last_stage_but_one_unless_it_is_named() -> None:
    module = Convolutions(layers=2)
    module.network.feature_layers = ("0", "1", "3")  # pyright: ignore
    assert map_layer(module, None) == "network.1", "of the module, which is anybody's"
    assert map_layer(module, "last") == "network.3" and map_layer(module, 2) == "network.2"
    module.network.feature_layers = ("0",)  # pyright: ignore
    assert map_layer(module, None) == "network.0"


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (None, r"Sequential does not say .* name one .* as in mixing.layer=0 \(it has 0, 1,"),
        ("last", "does not say which of its layers are stages"),
        ("00", "Sequential has no layer '00'; did you mean 0"),
        ("input", "mixing.layer=input has no features; use last"),
        ("1", "one place alone, which cannot say where an image matters; choose an earlier"),
        ("3", "and layer network.3 of Convolutions gives none; set mixing.layer to a conv"),
    ],
)
def test_a_layer_that_cannot_is_a_sentence(
    tmp_path: Path, layer: str | None, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        fitted(Convolutions(), Learned(AutoMix(), layer=layer), tmp_path)


def test_methods_data_and_knobs_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="trains the masks of AutoMix, and Mixup has none; use Mix"):
        Learned(Mixup(1.0))
    with pytest.raises(UserError, match="use mixlab.callbacks.LearnedMixingCallback in"):
        MixingCallback(AutoMix())
    for knob in ({"momentum": 1.0}, {"learning_rate": 0}, {"mask_margin": 2}, {"mask_weight": -1}):
        with pytest.raises(UserError, match=next(iter(knob))):
            Learned(AutoMix(), **knob)
    with pytest.raises(UserError, match="these data have masks; use mixing=cutmix"):
        words = ("data=shapes", "model=segmentation", "callbacks=segmentation")
        size = ("data.image_size=32", "mixing.layer=encoder")
        train_with(small(tmp_path, *words, *size, "mixing=automix"))
    data: Any = SimpleNamespace(
        multi_label=True, has_masks=False, batch_size=4, spec=SimpleNamespace(shape=(1, 8, 8))
    )
    with pytest.raises(UserError, match="these data have several labels an image; use mixing=cut"):
        Learned(AutoMix()).learn(data, 1)


@pytest.mark.slow
def test_raw_masks_follow_their_shares_after_some_epochs(tmp_path: Path) -> None:
    noted = Noted()
    words = (*RUN, "trainer.max_epochs=12", "trainer.limit_train_batches=1.0")
    train_with(small(tmp_path, *words), noted)
    assert noted.gaps[0] > 0.2 and np.mean(noted.gaps[-18:]) < 0.12
