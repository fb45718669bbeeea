import math

import pytest
import torch
from torch import nn

from mixlab.data import ImageSpec
from mixlab.models import TimmOptimizer, TimmScheduler
from mixlab.models.networks import CNN6, ResNet
from mixlab.models.optimizers import parameter_groups

SPEC = ImageSpec(3, 32, 32, ("a", "b"))


def names(network: nn.Module, group: dict) -> set[str]:
    chosen = {id(parameter) for parameter in group["params"]}
    return {name for name, parameter in network.named_parameters() if id(parameter) in chosen}


def test_all_parameters_decay_in_one_group():
    network = ResNet(SPEC)
    (group,) = parameter_groups(network, "all")
    assert len(group["params"]) == len(list(network.parameters())) and "weight_decay" not in group


def test_only_convolution_kernels_decay():
    network = ResNet(SPEC)
    decayed, others = parameter_groups(network, "convolutions")
    kernels = {
        f"{name}.weight" for name, part in network.named_modules() if isinstance(part, nn.Conv2d)
    }
    assert names(network, decayed) == kernels and len(kernels) == 21
    assert others["weight_decay"] == 0
    assert (
        names(network, decayed) | names(network, others) == dict(network.named_parameters()).keys()
    )


def test_weights_but_no_biases_and_no_normalization():
    network = ResNet(SPEC)
    decayed, others = parameter_groups(network, "weights")
    assert "head.weight" in names(network, decayed)
    assert all(parameter.ndim == 1 for parameter in others["params"])


def test_the_penalty_of_the_loss_is_coupled_decay_on_the_kernels():
    """A step with weight decay 2c equals one on the loss plus c * sum(kernel^2)."""
    torch.manual_seed(0)
    one = ResNet(SPEC, depth=8)
    other = ResNet(SPEC, depth=8)
    other.load_state_dict(one.state_dict())
    images, targets = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 0, 1])
    decay = torch.optim.SGD(parameter_groups(one, "convolutions"), lr=0.01, weight_decay=0.02)
    plain = torch.optim.SGD(other.parameters(), lr=0.01)
    for _ in range(2):
        nn.functional.cross_entropy(one(images), targets).backward()
        kernels = (m.weight for m in other.modules() if isinstance(m, nn.Conv2d))
        penalty = 0.01 * sum(kernel.square().sum() for kernel in kernels)
        (nn.functional.cross_entropy(other(images), targets) + penalty).backward()
        decay.step(), plain.step(), decay.zero_grad(), plain.zero_grad()
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


def test_frozen_parameters_are_left_out():
    network = CNN6(SPEC)
    network.features.requires_grad_(False)
    (group,) = parameter_groups(network, "all")
    assert names(network, group) == {
        f"head.{layer}.{kind}" for layer in (1, 3) for kind in ("weight", "bias")
    }


def test_unknown_choice():
    with pytest.raises(
        ValueError, match="weight_decay_on must be one of all, weights, convolutions"
    ):
        parameter_groups(CNN6(SPEC), "kernels")


def test_an_optimizer_of_timms():
    optimizer = TimmOptimizer("lamb", lr=0.02, weight_decay=0.1, eps=1e-5)(
        parameter_groups(ResNet(SPEC), "convolutions")
    )
    assert type(optimizer).__name__ == "Lamb"
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert {(group["lr"], group["eps"]) for group in optimizer.param_groups} == {(0.02, 1e-5)}
    with pytest.raises(ValueError, match="timm has no optimizer 'lamp'; did you mean lamb"):
        TimmOptimizer("lamp", lr=0.1)


def test_a_schedule_of_timms_warms_up_and_ends():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = TimmScheduler("cosine", epochs=10, warmup_epochs=2, warmup_lr=0.1)(optimizer)
    rates = []
    for epoch in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(epoch + 1)
    assert rates[:2] == pytest.approx([0.1, 0.55])
    cosine = [0.5 + 0.5 * math.cos(math.pi * epoch / 10) for epoch in range(2, 10)]
    assert rates[2:] == pytest.approx(cosine)
    with pytest.raises(ValueError, match="scheduler.name must be one of cosine"):
        TimmScheduler("cosin", epochs=3)
