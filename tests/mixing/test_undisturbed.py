"""A look at the network in training leaves no trace in the training."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlab.mixing.saliency import ActivationMap, InputGradient, Saliency
from mixlab.mixing.undisturbed import undisturbed

IMAGES = torch.rand(8, 3, 12, 12, generator=torch.Generator().manual_seed(0))
TARGETS = torch.eye(4)[torch.arange(8) % 4]
SALIENCIES = [InputGradient(), ActivationMap(), ActivationMap(of_class=True)]
each_saliency = pytest.mark.parametrize("saliency", SALIENCIES, ids=repr)


class Drawing(nn.Module):
    """Noise in eval mode too."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-3 * torch.randn_like(x)


def network() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), Drawing(), nn.Dropout(0.5),
        nn.Conv2d(6, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(5, 4),
    )  # fmt: skip
    made[1].eval()  # frozen by the user
    return made.requires_grad_(True)


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    """One step of training in bfloat16 autocast, and its loss."""
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(net(IMAGES), TARGETS)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def trained(look: Callable[[nn.Module], object]) -> tuple[nn.Module, Tensor]:
    """A network after four steps, with a look before each, and the losses."""
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(1)
    losses = []
    for _ in range(4):
        look(net)
        losses.append(step(net, optimizer))
    return net, torch.stack(losses)


@each_saliency
@pytest.mark.parametrize("surroundings", ["plain", "no_grad", "autocast"])
def test_a_training_with_looks_is_the_training_without(
    saliency: InputGradient | ActivationMap, surroundings: str
) -> None:
    def look(net: nn.Module) -> None:
        around = {
            "plain": torch.enable_grad(),
            "no_grad": torch.no_grad(),
            "autocast": torch.autocast("cpu", torch.bfloat16),
        }[surroundings]
        with around:
            assert saliency.bind(net)(IMAGES, TARGETS).shape == (8, 12, 12)

    alone, losses = trained(lambda net: None)
    watched, same = trained(look)
    assert torch.equal(losses, same)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name


@each_saliency
def test_modes_gradients_and_statistics_stay(saliency: InputGradient | ActivationMap) -> None:
    net = network()
    before = copy.deepcopy(net.state_dict())
    for weight in net.parameters():
        weight.grad = torch.ones_like(weight)
    modes = {name: module.training for name, module in net.named_modules()}
    drawn = torch.get_rng_state()
    saliency.bind(net)(IMAGES, TARGETS)
    assert {name: module.training for name, module in net.named_modules()} == modes
    assert not modes["1"] and modes["6"]
    assert all((weight.grad == 1).all() for weight in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(drawn, torch.get_rng_state())
    assert not any(module._forward_hooks for module in net.modules())
    assert IMAGES.grad is None and not IMAGES.requires_grad


def test_a_look_within_autocast_leaves_no_cast_without_a_graph() -> None:
    """torch keeps casts of weights for the rest of the context; ours would have no gradient."""
    net = network()
    with torch.autocast("cpu", torch.bfloat16):
        ActivationMap().bind(net)(IMAGES, TARGETS)
        F.cross_entropy(net(IMAGES), TARGETS).backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_an_error_within_restores_the_modes() -> None:
    net = network()
    with pytest.raises(ValueError, match="network of the same classes"):
        InputGradient().bind(net)(IMAGES, torch.eye(8))
    assert net.training and net[6].training  # pyright: ignore[reportIndexIssue]


@each_saliency
def test_rows_do_not_depend_on_each_other(saliency: InputGradient | ActivationMap) -> None:
    net = network()
    net[3] = nn.Identity()  # pyright: ignore[reportIndexIssue]
    look: Saliency = saliency.bind(net)
    torch.testing.assert_close(look(IMAGES[:3], TARGETS[:3]), look(IMAGES, TARGETS)[:3])


def test_a_frozen_network_has_gradients_of_its_input() -> None:
    net = network().requires_grad_(False)
    for saliency in SALIENCIES:
        maps = saliency.bind(net)(IMAGES, TARGETS)
        assert maps.flatten(1).std(1).min() > 0


def test_images_are_given_in_the_networks_dtype() -> None:
    with undisturbed(network().bfloat16(), IMAGES) as pixels:
        assert pixels.dtype == torch.bfloat16 and not pixels.requires_grad
    assert IMAGES.dtype == torch.float32


@each_saliency
def test_a_look_in_inference_mode_is_the_same(saliency: InputGradient | ActivationMap) -> None:
    look = saliency.bind(network())
    with torch.inference_mode():
        found = look(IMAGES * 1, TARGETS * 1)
    assert torch.equal(found, look(IMAGES, TARGETS))
