"""Features mixed at a layer: when, where, how often, and that nothing else notices."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from helpers.small_runs import (
    Plain,
    checkpoint,
    composed,
    differences,
    loader_of_lists,
    small,
    train_with,
    trainer,
)
from mixlab.callbacks import EMA, HiddenMixingCallback, MixingCallback
from mixlab.callbacks.hidden_mixing import ForFeatures
from mixlab.callbacks.layers import chosen_layers
from mixlab.errors import UserError
from mixlab.mixing import (
    Address,
    Batch,
    Blend,
    CutMix,
    GuidedMixup,
    Mixup,
    OneOf,
    PointMixup,
    SaliencyMix,
)
from mixlab.mixing.methods import AlignMix, HardPatchUp
from mixlab.previews.replay import replay
from mixlab.runs import run_folder

Hidden: Any = partial(HiddenMixingCallback, num_classes=10)
SHORT: Any = {"limit_train_batches": 4, "limit_val_batches": 1}


class Net(nn.Module):
    """A linear layer, batch normalization and dropout before another."""

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.first = nn.Linear(256, 12)
        self.norm, self.dropout = nn.BatchNorm1d(12), nn.Dropout(dropout)
        self.last = nn.Linear(12, 10)
        self.unused = nn.Linear(3, 3)

    def begin(self, images: Tensor) -> Tensor:
        return torch.tanh(self.first(images.flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.dropout(self.norm(self.begin(images))))


class Checkpointed(Net):
    def forward(self, images: Tensor) -> Tensor:
        begun: Any = recomputed(self.begin, images, use_reentrant=False)
        return self.last(self.dropout(self.norm(begun)))


class Module(Plain):
    """A plain module around a network, which notes what comes out of a layer."""

    def __init__(self, network: nn.Module, layer: str = "first") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = network
        self.seen: list[tuple[bool, Tensor]] = []
        self.hooks: list[int] = []
        network.get_submodule(layer).register_forward_hook(self.note, always_call=True)

    def note(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        self.seen.append((layer.training, output.detach().clone()))
        self.hooks.append(len(layer._forward_hooks))


def batch_of(rows: int = 6, number: int = 0) -> Batch:
    images = torch.rand(rows, 1, 16, 16, generator=torch.Generator().manual_seed(number))
    return Batch(images, torch.eye(10)[torch.arange(rows) % 10], Address(0, 0, 0, number))


def fitted(module: Any, *callbacks: pl.Callback, folder: Path, **options: Any) -> Any:
    torch.manual_seed(1)
    run = trainer(folder, *callbacks, **{**SHORT, **options})
    run.fit(module, loader_of_lists(), loader_of_lists())
    return module


def test_of_a_linear_network_it_is_mixup_of_the_images() -> None:
    network, batch = nn.Sequential(nn.Flatten(), nn.Linear(256, 10)), batch_of()
    plain = MixingCallback(Mixup(1.0)).mix(batch).after
    expected = network(plain.images)
    hidden = Hidden(Mixup(1.0), layers=["1"])
    hidden.attach(Module(network, "1"))
    after = hidden.mix(batch).after
    assert torch.equal(after.images, batch.images) and torch.equal(after.targets, plain.targets)
    torch.testing.assert_close(network(after.images), expected)
    hidden.forget()
    assert not torch.allclose(network(after.images), expected)


def test_at_the_input_alone_it_is_plain_mixing_to_the_bit(tmp_path: Path) -> None:
    words = ("mixing.probability=0.5", "mixing.schedule=cosine")
    hidden = small(tmp_path / "hidden", "mixing=manifold_mixup", "mixing.layers=[input]", *words)
    plain = small(tmp_path / "plain", "mixing=mixup", "mixing.method.alpha=2.0", *words)
    for cfg in (hidden, plain):
        train_with(cfg)
    kept = [checkpoint(cfg) for cfg in (hidden, plain)]
    assert not [*differences(*(each["state_dict"] for each in kept))]
    assert len({(run_folder(cfg) / "metrics.csv").read_text() for cfg in (hidden, plain)}) == 1


def test_gate_and_partners_are_those_of_other_arms() -> None:
    for number in range(5):
        batch = batch_of(number=number)
        hidden = Hidden(CutMix(1.0), probability=0.5, layers=["0"])
        plain = MixingCallback(CutMix(1.0), 0.5)
        hidden.attach(Module(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), "0"))
        mixed, other = hidden.mix(batch).blend, plain.mix(batch).blend
        assert torch.equal(mixed.source, other.source)


def test_layers_are_drawn_alike_often_from_the_address() -> None:
    callback = Hidden(Mixup(1.0), layers=["input", "first", "last"])
    callback.attach(Module(Net()))
    at = [callback.layer_at(Address(0, 0, 0, number)) for number in range(3000)]
    assert [callback.layer_at(Address(0, 0, 0, number)) for number in range(3000)] == at
    assert all(900 < at.count(name) < 1100 for name in callback.names)
    callback.position = 1
    assert [callback.layer_at(Address(0, 0, 0, number)) for number in range(3000)] != at


def test_the_hook_acts_once_in_each_training_step_and_never_elsewhere(tmp_path: Path) -> None:
    changed: list[Blend] = []

    class Noted(HiddenMixingCallback):
        def _expect(self, layer: str, blend: Blend, shape: Any) -> None:
            super()._expect(layer, blend, shape)
            assert self._hook is not None
            change = self._hook.change
            self._hook.change = lambda output: changed.append(blend) or change(output)

    module = Module(Net())
    callback = Noted(Mixup(1.0), layers=["first"], num_classes=10)
    fitted(module, callback, EMA(0.9), folder=tmp_path, accumulate_grad_batches=2)
    assert len(changed) == 8 and all(len(layer._forward_hooks) <= 1 for layer in module.modules())
    counts = [n for n, (training, _) in zip(module.hooks, module.seen, strict=True) if training]
    assert counts == [2] * 8, "the test's own hook and the callback's"
    others = [n for n, (training, _) in zip(module.hooks, module.seen, strict=True) if not training]
    assert others[:2] == [1, 2], "a sanity check, then the dry pass beside its own hook"
    assert set(others[2:]) == {1}
    run = trainer(tmp_path, callback)
    run.validate(module, loader_of_lists())
    run.predict(module, [batch_of().images])
    assert len(changed) == 8


def test_validation_is_that_of_the_bare_network(tmp_path: Path) -> None:
    module = fitted(Module(Net()), Hidden(Mixup(1.0), layers=["first"]), folder=tmp_path)
    images = batch_of().images
    assert torch.equal(module.eval()(images), module.network(images))


def test_the_dry_pass_leaves_no_trace(tmp_path: Path) -> None:
    """Weights of an unmixed training are the same, whether features' shapes were asked or not."""
    states = []
    for callbacks in ([], [Hidden(Mixup(1.0), probability=0.0, layers=["first", "norm"])]):
        torch.manual_seed(0)
        module = Module(Net())
        fitted(module, *callbacks, folder=tmp_path)
        states.append(module.state_dict())
    assert not [*differences(*states)]
    callback = Hidden(Mixup(1.0), layers=["first"])
    callback.attach(module)
    module.train()
    module.network.norm.eval()
    before, random = {k: v.clone() for k, v in module.state_dict().items()}, torch.get_rng_state()
    assert callback.shapes(batch_of().images) == {"first": (12,)}
    assert torch.equal(torch.get_rng_state(), random)
    assert module.network.dropout.training and not module.network.norm.training
    assert not [*differences(before, module.state_dict())]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradient_checkpointing_changes_nothing(tmp_path: Path, accumulate: int) -> None:
    states = []
    for network in (Net, Checkpointed):
        torch.manual_seed(0)
        module = Module(network(dropout=0.0))
        callback = Hidden(Mixup(1.0), layers=["first"])
        fitted(module, callback, folder=tmp_path, accumulate_grad_batches=accumulate)
        states.append(module.state_dict())
    assert not [*differences(*states)]


def test_batches_of_anybody_are_mixed_inside(tmp_path: Path) -> None:
    module = fitted(Module(Net()), Hidden(Mixup(1.0), layers=["first"]), folder=tmp_path)
    shares = torch.stack([y.max(1).values for _, y in module.given])
    assert len(module.given) == 8 and (shares < 1).float().mean() > 0.5
    clean = torch.cat([images for images, _ in loader_of_lists()])
    assert torch.equal(torch.cat([x for x, _ in module.given[:4]]), clean), "images stay unmixed"


def test_a_batch_of_one_stays_as_it_is() -> None:
    callback, batch = Hidden(Mixup(1.0), layers=["first"]), batch_of(rows=1)
    module = Module(Net())
    callback.attach(module)
    mixed = callback.mix(batch)
    assert torch.equal(mixed.after.targets, batch.targets) and not mixed.blend.mixed_rows.any()
    expected = module.network.first(batch.images.flatten(1))
    callback.forget()
    torch.testing.assert_close(expected, module.network.first(batch.images.flatten(1)))


def test_images_of_another_size_are_asked_again() -> None:
    callback = Hidden(CutMix(1.0), layers=["0"])
    callback.attach(Module(nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1)), "0"))
    for side, left in ((16, 14), (20, 18)):
        images = torch.rand(6, 1, side, side)
        assert callback.shapes(images) == {"0": (4, left, left)}


class Twice(Net):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + super().forward(images)


class Lists(Net):
    def __init__(self) -> None:
        super().__init__()
        self.dropout: Any = Pair()

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.dropout(self.begin(images))[0])


class Pair(nn.Module):
    def forward(self, features: Tensor) -> list[Tensor]:
        return [features, features]


@pytest.mark.parametrize(
    ("network", "layer", "sentence"),
    [
        (Twice(), "first", "layer first ran twice in one training step"),
        (Net(), "unused", "layer unused does not run in the network's forward"),
        (Lists(), "dropout", "layer dropout gives a list, not one tensor"),
        (Net(), "lst", "^Net has no layer 'lst'; did you mean last?"),
        (Net(), "zzz", "it has input, first, norm, dropout, last, unused"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(256, 10)),
            None,
            r'some, layers=\["input", "1"\] in Python and mixing.layers=\[input,1\] on the command',
        ),
    ],
)
def test_what_cannot_be_mixed_is_a_sentence(
    tmp_path: Path, network: nn.Module, layer: str | None, sentence: str
) -> None:
    callback = Hidden(Mixup(1.0), layers=None if layer is None else [layer])
    with pytest.raises(UserError, match=sentence):
        module = Plain()
        module.network = network
        fitted(module, callback, folder=tmp_path)
    assert not any(len(each._forward_hooks) for each in network.modules())


def test_an_empty_list_of_layers_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"layers is an empty list; name a layer, as \[input\]"):
        Hidden(Mixup(1.0), layers=[]).attach(Module(Net()))


@pytest.mark.parametrize("method", [AlignMix(1.0), HardPatchUp()])
def test_features_without_height_and_width_are_those_of_a_layer(method: Any) -> None:
    callback = Hidden(method, layers=["first"])
    callback.attach(Module(Net()))
    remedy = r"the features of layer first; use mixing.layers=\[input\], or mixing=manifold_mixup$"
    with pytest.raises(UserError, match=rf"x height x width, got \(6, 12\), {remedy}"):
        callback.mix(batch_of())
    table = Batch(torch.rand(6, 12), batch_of().targets, Address(0, 0, 0, 0))
    of_a_table = ForFeatures(method, (12,), "first")
    with pytest.raises(UserError, match=r"of layer first; use mixing=manifold_mixup$"):
        of_a_table(table.images, table.targets, np.random.default_rng(0))
    images = Hidden(method, layers=["input"])
    images.attach(Module(Net()))
    with pytest.raises(UserError, match=r"got \(6, 12\); use Mixup \(mixing=mixup\)$"):
        images.mix(table)


def test_a_layer_that_training_leaves_out_is_a_sentence(tmp_path: Path) -> None:
    class Skips(Net):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) if not self.training else self.last(self.begin(images))

    with pytest.raises(UserError, match="layer norm did not run in the training step"):
        fitted(Module(Skips()), Hidden(Mixup(1.0), layers=["norm"]), folder=tmp_path)


def test_masks_guests_methods_that_look_and_compiled_networks_are_refused() -> None:
    module, batch = Module(Net()), batch_of()
    callback = Hidden(Mixup(1.0), layers=["first"])
    callback.attach(module)
    batch.targets = torch.rand(6, 10, 16, 16)
    with pytest.raises(UserError, match="sees the unmixed image beside a mixed layer"):
        callback.mix(batch)
    with pytest.raises(UserError, match="from beyond the batch, which have no features"):
        Hidden(Mixup(1.0), partners="across_ranks", layers=["first"]).attach(module)
    for method in (SaliencyMix(1.0), OneOf([Mixup(1.0), GuidedMixup()]), PointMixup(1.0)):
        with pytest.raises(
            UserError, match="^(Sal|Guid|Point).* looks at what it mixes, and it draw"
        ):
            Hidden(method, layers=["input", "first"]).attach(module)
        Hidden(method, layers=["input"]).attach(module)
    module.network.compile()
    with pytest.raises(UserError, match="set model.compile=false"):
        callback.attach(module)
    Hidden(Mixup(1.0), layers=["input"]).attach(module)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (("model=cnn",), ["2", "5"]),
        (("model=cnn6",), ["features.4", "features.9"]),
        (("model=cnn_bn",), ["3", "7", "10"]),
        (("model=resnet20",), ["features.5", "features.8", "features.11"]),
        (("model=timm",), ["act1", "layer1", "layer2", "layer3", "layer4"]),
    ],
)
def test_networks_say_their_stages(model: tuple[str, ...], names: list[str]) -> None:
    from mixlab.data.spec import ImageSpec
    from mixlab.models.networks.build import build_network

    node = dict(composed(*model).model.network)
    if "name" in node:
        node |= {"name": "resnet18", "pretrained": False, "freeze": None, "kwargs": None}
        node.pop("kwargs")
    network = build_network(node, ImageSpec(1, 16, 16, ("a", "b")))
    assert chosen_layers(None, network) == ["input", *names]
    assert chosen_layers(["last"], network) == names[-1:]
    callback = HiddenMixingCallback(Mixup(1.0))
    callback.attach(network)
    shapes = callback.shapes(torch.rand(3, 1, 16, 16)).values()
    areas = [height * width for _, height, width in shapes]
    assert areas == sorted(areas, reverse=True) and areas[0] > areas[-1] >= 1


class Halving(nn.Module):
    """Feature maps of 8 x 8 and 4 x 4 of pictures of 16 x 16."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.AvgPool2d(2), nn.AvgPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        return self.two(self.one(images)).flatten(1)


@pytest.mark.parametrize("layers", [["one"], ["two"], ["input", "one", "two"]])
def test_the_strength_is_that_of_the_maps(layers: list[str]) -> None:
    callback = Hidden(CutMix(1.0), layers=layers, strength=0.12)
    callback.attach(Module(Halving(), "one"))
    found = []
    for number in range(1500):
        blend = callback.mix(batch_of(16, number)).blend
        found.append(1 - float(blend.own_content.mean()))
    assert np.mean(found) == pytest.approx(0.12, rel=0.04)


def test_a_strength_above_that_of_the_maps_is_refused() -> None:
    callback = Hidden(CutMix(1.0), layers=["two"], strength=0.25)
    callback.attach(Module(Halving(), "one"))
    with pytest.raises(UserError, match=r"strength=0.25 cannot be reached: CutMix.* replaces 0.1"):
        callback.mix(batch_of())


def test_a_run_is_replayed_with_its_shares(tmp_path: Path) -> None:
    seen: dict[Any, tuple[Tensor, Tensor]] = {}

    class Keep(pl.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, number: int) -> None:
            seen[batch.address] = batch.images.clone(), batch.targets.clone()

    strength = "mixing.strength=0.2"
    cfg = small(tmp_path, "mixing=patchup_soft", "mixing.layers=['5']", strength)
    train_with(cfg, Keep())
    options = composed(config="preview").copy()
    options.merge_with({"run": str(run_folder(cfg)), "epoch": 1, "batch": 2})
    found = replay(options)
    images, targets = seen[found.address]
    assert torch.equal(found.batch.images, images) and torch.equal(found.batch.targets, targets)
    assert torch.equal(found.seen[0].before.images, images), "features have no picture"
    assert found.left_out == ["mixed at layer 5, whose features have no picture"]
    assert found.seen[0].blend.mixed_rows.any()
