"""The mix block learns from the momentum copy's loss, and nothing else learns from it."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.small_runs import differences
from mixlab.errors import UserError
from mixlab.mixing.mask_learner import MaskLearner, own_copy
from mixlab.mixing.methods import AutoMix

ROWS = 12
PARTNER = np.roll(np.arange(ROWS), 1)


def classifier(dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4),
    ).to(dtype)  # fmt: skip


def batch(seed: int = 0, rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """Bright in one of four corners, which is the class."""
    rng = torch.Generator().manual_seed(seed)
    images, classes = 0.1 * torch.rand(rows, 1, 12, 12, generator=rng), torch.arange(rows) % 4
    for number in range(rows):
        y, x = divmod(int(classes[number]), 2)
        images[number, 0, 6 * y : 6 * y + 6, 6 * x : 6 * x + 6] += 1
    return images, torch.eye(4)[classes]


def learner(network: nn.Module | None = None, layer: str = "2", **options: Any) -> MaskLearner:
    generator = torch.Generator().manual_seed(1)
    return MaskLearner(network or classifier(), layer, batch()[0], generator, **options)


def shares(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).beta(2.0, 2.0, ROWS)


def step(taught: MaskLearner, method: AutoMix | None = None, seed: int = 0) -> None:
    taught.learn(method or AutoMix(), *batch(seed), PARTNER, shares(seed), rows=ROWS)


@pytest.mark.parametrize("exact", [True, False])
def test_the_loss_is_the_copys_on_the_mixed_images(exact: bool) -> None:
    taught, method, own = learner(mask_weight=0.0), AutoMix(exact=exact), shares()
    images, targets = batch()
    mask = method.fitted(taught.network(images, PARTNER, own), own)
    share = torch.from_numpy(own).float()[:, None]
    network = classifier().eval()
    mixed = mask * images + (1 - mask) * images[PARTNER]
    expected = F.cross_entropy(network(mixed), share * targets + (1 - share) * targets[PARTNER])
    torch.testing.assert_close(taught.loss(method, images, targets, PARTNER, own), expected)


def test_the_classification_loss_alone_reaches_every_weight_of_the_block() -> None:
    taught = learner(mask_weight=0.0)
    loss = taught.loss(AutoMix(exact=False), *batch(), PARTNER, shares())
    slopes = torch.autograd.grad(loss, taught.weights)
    assert len(slopes) == 4 and all(slope.abs().max() > 0 for slope in slopes)


def test_the_masks_loss_counts_only_what_lies_beyond_the_margin() -> None:
    taught, method, own = learner(mask_weight=3.0), AutoMix(), shares()
    given: Any = (method, *batch(), PARTNER, own)
    raw = taught.network(batch()[0], PARTNER, own).mean((1, 2, 3)).detach()
    gap = (raw - torch.from_numpy(own).float()).abs()
    assert 0 < (gap > 0.1).sum() < ROWS
    whole = taught.loss(*given)
    taught.mask_weight = 0.0
    beyond = torch.where(gap > 0.1, gap - 0.1, 0).mean()
    torch.testing.assert_close(whole - taught.loss(*given), 3 * beyond)


def test_a_step_teaches_the_block_and_nothing_else() -> None:
    network = classifier()
    taught = learner(network)
    before = copy.deepcopy((network.state_dict(), taught.network.state_dict()))
    state = torch.get_rng_state()
    step(taught)
    assert torch.equal(torch.get_rng_state(), state)
    assert not [*differences(before[0], network.state_dict())]
    changed = set(differences(before[1], taught.network.state_dict()))
    assert changed == {f".block.{name}" for name in ("query", "query_bias", "value", "value_bias")}
    for each in (network, taught.network):
        assert all(weight.grad is None for weight in each.parameters())
    encoder = taught.network.encoder
    assert not any(weight.requires_grad for weight in encoder.parameters())
    assert not any(module.training for module in encoder.modules()) and network.training


def test_the_copy_follows_the_classifier_and_has_its_statistics() -> None:
    network = classifier()
    taught = learner(network, momentum=0.15)
    expected = [weight.detach().clone() for weight in network.parameters()]
    for kept in (0.1, 0.15, 0.15):  # 1 / 10, then the momentum, which is below 2 / 11
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight))
        network(batch()[0])
        taught.follow(network)
        expected = [kept * old + (1 - kept) * new.detach()
                    for old, new in zip(expected, network.parameters(), strict=True)]  # fmt: skip
    encoder = taught.network.encoder
    torch.testing.assert_close([*encoder.parameters()], expected)
    assert not [*differences(dict(encoder.named_buffers()), dict(network.named_buffers()))]
    network(batch()[0])
    assert not torch.equal(encoder[1].running_mean, network[1].running_mean)  # pyright: ignore


def test_learning_makes_raw_masks_follow_their_shares() -> None:
    def gap(taught: MaskLearner) -> float:
        own = np.linspace(0.05, 0.95, ROWS)
        raw = taught.network(batch(99)[0], PARTNER, own).mean((1, 2, 3)).detach()
        return float((raw - torch.from_numpy(own)).abs().mean())

    taught = learner()
    before = gap(taught)
    for number in range(250):
        step(taught, seed=number)
    assert before > 0.2 and gap(taught) < 0.12, "the margin is 0.1"


def test_going_on_from_a_state_is_going_on() -> None:
    whole = learner()
    for number in range(3):
        step(whole, seed=number)
        whole.follow(classifier())
    again = learner()
    again.load(copy.deepcopy(whole.state()))
    for taught in (whole, again):
        step(taught, seed=7)
        taught.follow(classifier())
    assert not [*differences(whole.state(), again.state())]


@pytest.mark.parametrize("rows", [(6, 6), (7, 5), (12, 0)])
def test_processes_learn_as_one_that_has_all_their_rows(rows: tuple[int, int]) -> None:
    """The gradient of each counts by its rows, and a batch that repeats some counts nothing."""
    ends: Any = [slice(0, rows[0]), slice(rows[0], ROWS)] if rows[1] else [slice(0, ROWS)] * 2
    images, targets = batch()

    def mean_loss(taught: MaskLearner, part: slice) -> Tensor:
        count = len(images[part])
        partner = np.roll(np.arange(count), 1)
        given = (images[part], targets[part], partner, shares()[part])
        return taught.loss(AutoMix(), *given)

    alone = learner()
    slopes = [torch.autograd.grad(mean_loss(alone, part), alone.weights) for part in ends]
    expected = [sum(n * part for n, part in zip(rows, pair, strict=True)) / ROWS
                for pair in zip(*slopes, strict=True)]  # fmt: skip
    sent: list[Tensor] = []
    each = learner(reduced=lambda values: sent.append(values) or values)
    for count, slope in zip(rows, slopes, strict=True):
        each._over_processes(slope, count)
    both = learner(reduced=lambda values: sent[0] + sent[1])
    torch.testing.assert_close(both._over_processes(slopes[0], rows[0]), expected)


def test_statistics_are_those_of_the_first_process() -> None:
    network = classifier()
    taught = learner(network, shared=lambda values: torch.arange(len(values)).float())
    taught.follow(network)
    mean, variance = (taught.network.encoder.get_buffer(f"1.running_{k}") for k in ("mean", "var"))
    assert mean.tolist() == [0, 1, 2, 3, 4, 5] and variance.tolist() == [6, 7, 8, 9, 10, 11]


def test_the_copy_of_16_bit_weights_has_32() -> None:
    network = classifier(torch.bfloat16)
    taught = learner(network)
    assert {each.dtype for each in taught.network.encoder.parameters()} == {torch.float32}
    images, targets = batch()
    given: Any = (images.bfloat16(), targets, PARTNER, shares())
    taught.learn(AutoMix(), *given, rows=ROWS)
    with torch.no_grad():
        network[0].weight.add_(1)
    before = taught.network.encoder[0].weight.clone()  # pyright: ignore
    taught.momentum, taught.updates = 0.999, 10_000
    taught.follow(network)
    moved = taught.network.encoder[0].weight - before  # pyright: ignore
    assert 0.0005 < moved.mean() < 0.002, "16 bits would round it away"


def test_a_compiled_network_is_copied_without() -> None:
    network = classifier()
    network.compile(backend="eager")
    assert own_copy(network)._compiled_call_impl is None
    assert network._compiled_call_impl is not None


def test_one_place_or_other_classes_are_sentences() -> None:
    with pytest.raises(UserError, match=r"layer=4 gives \(6, 1, 1\) for an image, one place alone"):
        learner(layer="4")
    images, targets = batch()
    with pytest.raises(UserError, match="needs a network of the same classes"):
        learner().loss(AutoMix(), images, targets[:, :3], PARTNER, shares())
