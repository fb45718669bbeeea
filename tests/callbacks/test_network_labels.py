"""Labels that the network weighs: by the attention of its own pass, or by activation maps."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import timm
import torch
from torch import Tensor, nn

from helpers.small_runs import Plain, composed, differences, loader_of_lists, trainer
from mixlab.callbacks import ActivationMixingCallback, AttentionMixingCallback, MixingCallback
from mixlab.callbacks.activation_mixing import feature_map
from mixlab.callbacks.attention_mixing import class_attention
from mixlab.callbacks.network_labels import weighed_shares
from mixlab.config.build import build
from mixlab.errors import UserError
from mixlab.mixing import (
    Address,
    Batch,
    Blend,
    CutMix,
    Cutout,
    CutThumbnail,
    Guests,
    MixedBatch,
    Mixup,
    OneOf,
    Ricap,
)
from mixlab.mixing.methods import TokenMix, TransMix
from mixlab.training.build import build_data

Attention: Any = partial(AttentionMixingCallback, num_classes=10)
Activation: Any = partial(ActivationMixingCallback, num_classes=10)


def vit(**options: Any) -> Any:
    torch.manual_seed(0)
    options = {
        "img_size": 16,
        "depth": 2,
        "embed_dim": 24,
        "num_heads": 3,
        "patch_size": 4,
        **options,
    }
    return timm.create_model("vit_tiny_patch16_224", in_chans=1, num_classes=10, **options)


def convolutions() -> Any:
    torch.manual_seed(0)
    network: Any = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    network(torch.rand(1, 1, 16, 16))
    network.feature_layers = ("1",)
    return network


class Module(Plain):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.read: list[Tensor] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)  # its targets are read after the forward
        self.read.append(batch[1].clone())
        return loss


def fitted(module: Any, *callbacks: pl.Callback, folder: Path, **options: Any) -> Any:
    run = trainer(folder, *callbacks, **{"limit_train_batches": 3, "max_epochs": 1, **options})
    run.fit(module, loader_of_lists(), loader_of_lists())
    return run


def batch_of(rows: int = 8) -> Batch:
    images = torch.rand(rows, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    return Batch(images, torch.eye(10)[torch.arange(rows) % 10], Address(0))


def ready(callback: Any, network: nn.Module) -> Any:
    """The callback, as before a training step of a module around `network`."""
    run: Any = trainer(Path("."), callback)
    callback.setup(run, Module(network), "fit")
    return callback


@pytest.mark.parametrize("options", [{}, {"qk_norm": True}, {"reg_tokens": 2}])
def test_the_attention_is_that_of_the_block_itself(options: dict[str, Any]) -> None:
    network = vit(**options)
    layer, found = network.blocks[-1].attn, {}
    layer.fused_attn = False
    layer.qkv.register_forward_hook(lambda *seen: found.update(qkv=seen[2]))
    layer.attn_drop.register_forward_hook(lambda *seen: found.update(whole=seen[2]))
    network(torch.rand(5, 1, 16, 16))
    expected = found["whole"][:, :, 0, network.num_prefix_tokens :].mean(1)
    expected = expected / expected.sum(1, keepdim=True)
    torch.testing.assert_close(
        class_attention(network, found["qkv"], (16, 16)).flatten(1), expected
    )


@pytest.mark.parametrize("size", [(16,), (1, 16), (1, 1, 16), (1, 1, 1, 16)])
def test_a_mask_of_columns_has_as_many_dimensions_as_it_needs(size: tuple[int, ...]) -> None:
    own = torch.rand(8, 1, *size, generator=torch.Generator().manual_seed(0))
    source = torch.stack([torch.arange(8), torch.arange(8).flip(0)], 1)
    blend = Blend(source, torch.cat([own, 1 - own], 1))
    uniform = torch.full((8, 1, 4, 4), 1 / 16)
    torch.testing.assert_close(weighed_shares(blend, uniform, (16, 16)), blend.share)


@pytest.mark.parametrize("per_row", [True, False])
def test_uniform_weights_are_the_area_and_flat_masks_stay(per_row: bool) -> None:
    batch = batch_of()
    methods = [CutMix(1.0, per_row), Mixup(0.5, per_row), TokenMix(1.0, 4, per_row)]
    for method in (*methods, OneOf(methods), Cutout(0.5)):
        blend = MixingCallback(OneOf([CutMix(1.0)])).draw(batch, *batch, method=method)  # pyright: ignore
        uniform = torch.full((8, 1, 4, 4), 1 / 16)
        share = weighed_shares(blend, uniform, (16, 16))
        torch.testing.assert_close(share, blend.share.expand(8, -1))
        if isinstance(method, Mixup):
            anywhere = torch.rand(8, 1, 4, 4).softmax(0)
            torch.testing.assert_close(
                weighed_shares(blend, anywhere, (16, 16)), blend.share.expand(8, -1)
            )


def test_planted_weights_decide() -> None:
    """All attention on the top left patch: whoever is seen there gets the label."""
    batch = batch_of()
    blend = MixingCallback(CutMix(1.0)).mix(batch).blend
    planted = torch.zeros(8, 1, 4, 4)
    planted[:, :, 0, 0] = 1
    pasted = blend.mask.paint()[:, 1, :4, :4].mean((1, 2))  # pyright: ignore
    share = weighed_shares(blend, planted, (16, 16))
    torch.testing.assert_close(share[:, 1], pasted)
    assert (share[:, 1] - blend.share[:, 1]).abs().max() > 0.1


def test_the_loss_reads_labels_by_attention(tmp_path: Path) -> None:
    module, callback = Module(vit()), Attention(TransMix(1.0))
    run = fitted(module, callback, folder=tmp_path)
    mixed = callback.seen
    assert not module.network.blocks[-1].attn.qkv._forward_hooks, "removed after the step"
    assert torch.equal(module.read[-1], mixed.after.targets)
    area = mixed.blend.targets(mixed.before.targets)
    assert (module.read[-1] - area).abs().max() > 1e-4
    torch.testing.assert_close(module.read[-1].sum(1), torch.ones(8))
    shares = torch.stack([module.read[n] for n in range(3)])
    own = torch.stack([shares[n, range(8), (8 * n + torch.arange(8)) % 10] for n in range(3)])
    logged = run.callback_metrics["mixing/own_share"]
    assert logged == pytest.approx(own.mean().item(), abs=1e-5), "not that of the area"


def test_the_pass_itself_is_that_of_cutmix(tmp_path: Path) -> None:
    """With no part of the label by attention, weights are those of CutMix to the bit."""
    states = []
    for callback in (
        Attention(TransMix(1.0), attention=0.0),
        MixingCallback(CutMix(1.0), num_classes=10),
        Attention(TransMix(1.0), attention=1.0),
    ):
        module = Module(vit())
        fitted(module, callback, folder=tmp_path)
        states.append(module.state_dict())
    assert not [*differences(states[0], states[1])] and [*differences(states[0], states[2])]


def test_gradient_checkpointing_and_accumulation(tmp_path: Path) -> None:
    states = []
    for checkpointed in (False, True):
        module = Module(vit())
        module.network.set_grad_checkpointing(checkpointed)
        fitted(module, Attention(TransMix(1.0)), folder=tmp_path, accumulate_grad_batches=2)
        states.append(module.state_dict())
    assert not [*differences(*states)]


def test_activations_weigh_sources_where_they_are_seen() -> None:
    """Even rows are bright on the left, odd ones on the right: there they have to be seen."""
    batch = batch_of()
    batch.images[:] = 0
    batch.images[::2, :, :, :8] = 1
    batch.images[1::2, :, :, 8:] = 1
    bright = batch.images[:, 0]
    network: Any = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(256, 10))
    callback = ready(Activation(CutMix(1.0), layer="0"), network)
    mixed = callback.mix(batch)
    pasted, partner = mixed.blend.mask.paint()[:, 1], mixed.blend.source[:, 1]
    own, other = ((1 - pasted) * bright).sum((1, 2)), (pasted * bright[partner]).sum((1, 2))
    expected = torch.where(partner == torch.arange(8), 1.0, own / (own + other))
    torch.testing.assert_close(mixed.after.targets[range(8), range(8)], expected)
    assert ((partner - torch.arange(8)) % 2 == 1).any(), "bright in different halves"


def of_the_pixels(method: Any, batch: Batch) -> MixedBatch:
    """Mixed with labels by the brightness of the pixels themselves."""
    network: Any = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(256, 10))
    return ready(Activation(method, layer="0"), network).mix(batch)


def test_a_resized_source_brings_all_of_its_activation() -> None:
    """A thumbnail of a quarter of the picture shows the whole partner."""
    batch = batch_of()
    batch.images[:] = 1
    mixed = of_the_pixels(CutThumbnail(0.5), batch)
    own = torch.where(mixed.blend.source[:, 1] == torch.arange(8), 1, 0.75 / 1.75)
    torch.testing.assert_close(mixed.after.targets[range(8), range(8)], own)


def test_a_moved_source_brings_the_activation_of_what_is_seen() -> None:
    batch = batch_of()
    mixed = of_the_pixels(Ricap(1.0), batch)
    source, tiles = mixed.blend.source, mixed.blend.mask.paint()  # pyright: ignore
    bright = batch.images.sum((1, 2, 3))[source]
    part = (tiles * mixed.after.images).sum((2, 3)) / bright
    targets = Blend(source, part, part / part.sum(1, keepdim=True)).targets(batch.targets)
    torch.testing.assert_close(mixed.after.targets, targets)
    assert (mixed.after.targets - mixed.blend.targets(batch.targets)).abs().max() > 0.01


@pytest.mark.parametrize("network", [convolutions(), vit()], ids=["convolutions", "transformer"])
def test_maps_leave_no_trace_and_sum_to_one(network: nn.Module) -> None:
    callback, batch = ready(Activation(TokenMix(1.0, grid=4)), network), batch_of()
    network.train()
    random = torch.get_rng_state()
    maps = callback.maps(batch.images)
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(8))
    assert maps.ndim == 3 and torch.equal(torch.get_rng_state(), random) and network.training
    batch.guests = Guests(torch.rand(8, 1, 16, 16), torch.eye(10)[torch.arange(8) % 10])
    callback.policy = MixingCallback(Mixup(1.0), partners="dataset").policy
    mixed = callback.mix(batch)
    torch.testing.assert_close(mixed.after.targets.sum(1), torch.ones(8))


def test_patches_of_another_size_than_those_of_the_network_are_warned_of(
    recwarn: pytest.WarningsRecorder,
) -> None:
    ready(Activation(TokenMix(1.0, grid=4)), vit())
    ready(Activation(TokenMix(1.0, grid=2)), vit())  # cells of four whole patches
    ready(Activation(TokenMix(1.0, grid=14)), convolutions())  # has no patches
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"grid=14, but .* 4 x 4 patches.*grid=4 keeps them"):
        ready(Activation(TokenMix(1.0, grid=14)), vit())
    with pytest.warns(UserWarning, match=r"grid=4, but .* 4 x 6 patches.*grid=2 keeps them"):
        ready(Activation(TokenMix(1.0, grid=4)), vit(img_size=(16, 24)))


def test_a_training_by_activations(tmp_path: Path) -> None:
    module, callback = Module(convolutions()), Activation(TokenMix(1.0, grid=4))
    fitted(module, callback, folder=tmp_path)
    area = callback.seen.blend.targets(callback.seen.before.targets)
    assert torch.equal(module.read[-1], callback.seen.after.targets)
    assert (area - module.read[-1]).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("experiment", "mixing"), [("table", "transmix"), ("table", "tokenmix"), ("points", "automix")]
)
def test_rows_without_a_picture_get_a_remedy_that_takes_them(experiment: str, mixing: str) -> None:
    cfg = composed(f"experiment={experiment}", f"mixing={mixing}")
    method, data = build(cfg.mixing.method), build_data(cfg)
    callback = build({**cfg.mixing, "method": None}, method=method)
    with pytest.raises(UserError, match=r"needs rows x channels x height x w.*\(mixing=mixup\)"):
        callback.learn(data, 1)


@pytest.mark.parametrize(
    ("callback", "network", "sentence"),
    [
        (Attention(TransMix(1.0)), convolutions(), "Sequential has no class token"),
        (Attention(TransMix(1.0)), vit(global_pool="avg"), "has no class token whose attention"),
        (Activation(TokenMix(1.0)), nn.Flatten(), "does not say which of its layers"),
        (Activation(TokenMix(1.0), layer="input"), convolutions(), "input has no activations"),
        (Activation(TokenMix(1.0), layer="2"), convolutions(), "no height and width"),
    ],
)
def test_a_network_that_cannot_is_a_sentence(
    callback: Any, network: nn.Module, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        ready(callback, network).mix(batch_of())


def test_methods_and_targets_that_do_not_fit() -> None:
    for callback in (MixingCallback, Activation):
        place = "AttentionMixingCallback in place of (Activation)?MixingCallback "
        with pytest.raises(UserError, match=place):
            callback(TransMix(1.0))
    for callback in (Attention, Activation):
        for mix in ("inputs", "labels"):
            with pytest.raises(UserError, match=f"^mix={mix} is not for A.*Callback, whose labels"):
                callback(CutMix(1.0), mix=mix)
    batch = batch_of()
    batch.targets = torch.rand(8, 10, 16, 16)
    with pytest.raises(UserError, match="masks have one a pixel"):
        ready(Attention(TransMix(1.0)), vit()).mix(batch)
    one = batch_of(rows=1)
    callback = ready(Activation(TokenMix(1.0, grid=4)), convolutions())
    torch.testing.assert_close(callback.mix(one).after.targets, one.targets)


def test_patches_of_oblong_pictures_are_where_they_were() -> None:
    """Tokens are numbered along the lines: 4 lines of 6 patches, and not one before."""
    network = vit(img_size=(16, 24))
    images = torch.rand(5, 1, 16, 24)
    tokens = torch.arange(25.0).view(1, 25, 1).expand(5, -1, 24)  # the first is the class token
    found = feature_map(network, tokens, images)
    expected = (torch.arange(24.0) + 1).view(4, 6)
    assert torch.equal(found, expected.expand(5, 24, 4, 6))


def test_labels_of_oblong_pictures_by_attention() -> None:
    """As weighed by the attention of the block itself, each patch in its place."""
    network, seen = vit(img_size=(16, 24)), {}
    layer = network.blocks[-1].attn
    layer.fused_attn = False
    layer.attn_drop.register_forward_hook(lambda *call: seen.update(whole=call[2]))
    batch = batch_of()
    batch.images = torch.rand(8, 1, 16, 24, generator=torch.Generator().manual_seed(1))
    mixed = ready(Attention(TransMix(1.0)), network).mix(batch)
    area = mixed.after.targets.clone()
    network(mixed.after.images)
    weight = seen["whole"][:, :, 0, 1:].mean(1).double()
    mask = mixed.blend.mask.paint().double()  # pyright: ignore
    share = torch.zeros(8, 2, dtype=torch.float64)
    for number in range(24):
        y, x = 4 * (number // 6), 4 * (number % 6)
        share += mask[:, :, y : y + 4, x : x + 4].mean((2, 3)) * weight[:, number, None]
    share /= share.sum(1, keepdim=True)
    expected = replace(mixed.blend, share=share.float()).targets(mixed.before.targets)
    torch.testing.assert_close(mixed.after.targets, expected, rtol=0, atol=1e-6)
    assert (area - expected).abs().max() > 1e-4
