"""Partners by the network's features and by what it confuses."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mixlab.errors import UserError
from mixlab.mixing import Address, Mixup, MixupMany, Policy
from mixlab.mixing.network_partners import (
    ByFeatures,
    Confusable,
    bind_rule,
    features,
    predicted,
    weighted_choice,
)
from mixlab.mixing.partners import NETWORK_RULES, drawn_columns, rule_from

IMAGES = torch.rand(9, 1, 6, 6, generator=torch.Generator().manual_seed(0))
RNG = np.random.default_rng


class FirstPixel(nn.Module):
    """A feature of its own, then dropout and batch statistics that a forward pass would move."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm2d(1), nn.Dropout(0.5)
        self.last = nn.Linear(1, 3)
        self.given: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.given.append(images)
        found = self.dropout(self.norm(images)).flatten(1)[:, :1]
        return self.last(found * 7)


@pytest.mark.parametrize("far", [False, True])
def test_rows_are_compared_by_what_enters_the_last_layer(far: bool) -> None:
    name = "farthest_features" if far else "nearest_features"
    rule = bind_rule(name, FirstPixel())
    assert isinstance(rule, ByFeatures)
    found = rule(IMAGES, torch.eye(9), RNG(0), 6)
    pixel = IMAGES.flatten(1)[:, :1]
    expected = rule_from("farthest" if far else "nearest")(pixel, pixel, RNG(0), 6)
    assert (found == expected).all()
    assert (found != rule_from("nearest")(IMAGES, pixel, RNG(0), 6)).any(), "not by pixels"


def test_several_partners_cost_one_forward_pass() -> None:
    network = FirstPixel()
    found = drawn_columns(ByFeatures(network), IMAGES, torch.eye(9), RNG(0), 6, 3)
    assert len(network.given) == 1 and found.shape == (6, 3)
    for column in range(3):
        again = ByFeatures(network)(IMAGES, torch.eye(9), RNG(0), 6, column)
        assert (again == found[:, column]).all()
    assert all(len({row, *found[row]}) == 4 for row in range(6))


def test_the_network_is_left_as_it_was() -> None:
    network = FirstPixel().train()
    network.norm.eval()  # as a frozen backbone is
    before = {name: x.clone() for name, x in network.state_dict().items()}
    state, modes = torch.get_rng_state(), [each.training for each in network.modules()]
    taken = features(network, IMAGES)
    assert torch.equal(torch.get_rng_state(), state)
    assert [each.training for each in network.modules()] == modes
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())
    assert not taken.requires_grad and all(x.grad is None for x in network.parameters())
    assert not network.last._forward_pre_hooks
    assert torch.equal(taken, features(network, IMAGES)), "no dropout"


class Drawing(nn.Module):
    """Drops in eval mode too."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.dropout(x, 0.5, train=True)


def test_a_network_that_draws_leaves_torchs_generator_where_it_was() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(IMAGES[0].numel(), 4), Drawing())
    state = torch.get_rng_state()
    first = predicted(network, IMAGES)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, predicted(network, IMAGES)) and (first == 0).any()


def test_it_is_left_so_when_it_raises() -> None:
    network = FirstPixel().train()
    with pytest.raises(RuntimeError):
        features(network, torch.rand(2, 5, 6, 6))
    assert network.norm.training and not network.last._forward_pre_hooks


def test_a_network_without_a_linear_layer_and_another_dtype_is_taken_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()).to(torch.bfloat16)
    found = features(network, IMAGES)
    assert found.shape == (9, 32) and found.dtype == torch.bfloat16


COUNTS = np.array([[50, 6, 0, 0], [2, 50, 0, 0], [0, 4, 9, 0], [0, 0, 0, 30]])


def test_the_chance_is_how_often_the_classes_were_confused() -> None:
    """Class 0 was confused 8 times with class 1, class 1 also 4 times with class 2."""
    label = np.array([0, 1, 2, 3, 1])
    images, targets, draws = torch.zeros(5, 1), torch.eye(4)[label], 6000
    found, rng = np.zeros((5, 5)), RNG(1)
    for _ in range(draws):
        found[np.arange(5), Confusable(COUNTS)(images, targets, rng, 5)] += 1 / draws
    expected = np.array([
        [0, 1 / 2, 0, 0, 1 / 2],  # either row of class 1
        [2 / 3, 0, 1 / 3, 0, 0],
        [0, 1 / 2, 0, 0, 1 / 2],
        [1 / 4, 1 / 4, 1 / 4, 0, 1 / 4],  # never confused: any row of another class
        [2 / 3, 0, 1 / 3, 0, 0],
    ])  # fmt: skip
    spread = np.sqrt(expected * (1 - expected) / draws)
    assert (np.abs(found - expected) <= 4.5 * spread + 1e-9).all()


def test_before_anything_is_counted_any_other_class_is_met() -> None:
    targets = torch.eye(3)[[0, 0, 1, 2]]
    draws = {tuple(Confusable()(IMAGES[:4], targets, RNG(n), 4)) for n in range(200)}
    for row, may in enumerate(({2, 3}, {2, 3}, {0, 1, 3}, {0, 1, 2})):
        assert {draw[row] for draw in draws} == may
    with pytest.warns(UserWarning, match="confusable found one class alone in a batch"):
        alone = Confusable(COUNTS)(IMAGES[:3], torch.eye(4)[[1, 1, 1]], RNG(0), 3)
    assert alone.tolist() == [0, 1, 2], "nobody of another class"


def test_the_amount_drawn_is_always_the_same() -> None:
    """So runs with other confusions share what is drawn after the partners."""
    after = []
    for counts in (None, COUNTS, np.zeros((4, 4), dtype=np.int64)):
        rng = RNG(3)
        Confusable(counts)(IMAGES, torch.eye(4)[torch.arange(9) % 4], rng, 9)
        after.append(rng.random())
    assert len(set(after)) == 1


def test_a_weight_of_nothing_is_never_chosen() -> None:
    weight = np.array([[0, 0, 5.0], [0, 0, 0], [1e-300, 0, 0]])
    for seed in range(50):
        assert weighted_choice(weight, RNG(seed)).tolist() == [2, 1, 0]


def test_guests_may_be_met() -> None:
    targets = torch.eye(4)[[0, 0, 1, 1]]
    found = Confusable(COUNTS)(IMAGES[:4], targets, RNG(0), 2)
    assert found.shape == (2,) and set(found) <= {2, 3}


@pytest.mark.parametrize("name", NETWORK_RULES)
def test_a_rule_without_a_network_says_so_and_works_with_one(name: str) -> None:
    targets = torch.eye(9)
    with pytest.raises(UserError, match=f"partners={name} asks the network in training"):
        Policy(partners=name).draw(Mixup(1.0), IMAGES, targets, Address(0))
    rule = bind_rule(name, FirstPixel())
    policy = Policy(partners=rule)  # pyright: ignore
    for method in (Mixup(1.0), MixupMany(1.0, 3)):
        blend = policy.draw(method, IMAGES, targets, Address(0))
        assert (blend.source[:, 1:] != blend.source[:, :1]).all()


def test_other_rules_stay_what_they_are() -> None:
    assert bind_rule("nearest", FirstPixel()) == "nearest"
    assert bind_rule(len, FirstPixel()) is len
