"""Networks for rows that are no images."""

from typing import Any

import pytest
import torch

from mixlab.callbacks import HiddenMixingCallback
from mixlab.data import DataSpec, ImageSpec
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch, Mixup
from mixlab.models.networks import MLP, CNN1d, PointNet
from mixlab.models.networks.build import build_network

NAMES = ("a", "b", "c")
TABLE, SIGNAL = DataSpec((13,), NAMES), DataSpec((2, 40), NAMES)
CLOUD, TOKENS = DataSpec((3, 20), NAMES), DataSpec((6, 16), NAMES, -1)


@pytest.mark.parametrize(
    ("network", "spec"),
    [(MLP, TABLE), (MLP, SIGNAL), (MLP, TOKENS), (CNN1d, SIGNAL), (PointNet, CLOUD)],
)
def test_rows_become_logits(network: Any, spec: DataSpec) -> None:
    node = {"_target_": f"mixlab.models.networks.{network.__name__}"}
    made = build_network(node, spec)
    rows = torch.rand(5, *spec.shape, requires_grad=True)
    logits = made(rows)
    assert logits.shape == (5, 3)
    logits.sum().backward()
    assert rows.grad is not None and (rows.grad != 0).flatten(1).any(1).all()


@pytest.mark.parametrize(
    ("network", "shapes"),
    [
        (MLP(TABLE), {"input": (13,), "layers.1": (64,), "layers.4": (64,)}),
        (MLP(TOKENS, width=8, depth=1), {"input": (6, 16), "layers.1": (8,)}),
        (CNN1d(SIGNAL), {"input": (2, 40), "3": (16, 20), "7": (32, 10), "10": (64, 10)}),
        (PointNet(CLOUD), {"input": (3, 20), "head.1": (64,)}),
    ],
)
def test_they_say_their_stages(network: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    callback = HiddenMixingCallback(Mixup(1.0))
    callback.attach(network)
    assert callback.names == [*shapes]
    rows = torch.rand(4, *shapes["input"])
    assert {"input": shapes["input"], **callback.shapes(rows)} == shapes
    batch = Batch(rows, torch.eye(4, 3), Address(0))
    for number in range(len(shapes) * 4):
        batch.address = Address(0, batch=number)
        mixed = callback.mix(batch)
        assert network.eval()(mixed.after.images).shape == (4, 3)
        callback.forget()


def test_the_order_of_points_or_tokens_does_not_matter() -> None:
    cloud, order = torch.rand(4, 3, 20), torch.randperm(20)
    network = PointNet(CLOUD).eval()
    torch.testing.assert_close(network(cloud), network(cloud[:, :, order]))
    tokens, pooled = torch.rand(4, 6, 16), MLP(TOKENS)
    torch.testing.assert_close(pooled(tokens), pooled(tokens.flip(1)))


def test_other_shapes_are_refused() -> None:
    for name in ("CNN", "ResNet", "Timm"):
        node = {"_target_": f"mixlab.models.networks.{name}"}
        with pytest.raises(UserError, match="takes images, and the data have rows of 13; use mod"):
            build_network(node, TABLE)
    for spec in (TABLE, TOKENS, DataSpec((2, 7), NAMES), ImageSpec(1, 8, 8, NAMES)):
        with pytest.raises(UserError, match="CNN1d takes signals .* use model=mlp"):
            CNN1d(spec)
    for spec in (TABLE, TOKENS):
        with pytest.raises(UserError, match="PointNet takes clouds .* use model=mlp"):
            PointNet(spec)


class WithSoftmax(torch.nn.Sequential):
    def __init__(self, num_classes: int) -> None:
        super().__init__(torch.nn.Linear(13, num_classes), torch.nn.Softmax(1))


class WithLogSoftmax(torch.nn.Sequential):  # the same loss to rounding: log-probabilities
    def __init__(self, num_classes: int) -> None:
        super().__init__(torch.nn.Linear(13, num_classes), torch.nn.LogSoftmax(1))


def test_a_softmax_at_the_end_is_warned_of(recwarn: pytest.WarningsRecorder) -> None:
    build_network({"_target_": f"{__name__}.WithLogSoftmax"}, TABLE, allow=["models"])
    build_network({"_target_": "mixlab.models.networks.MLP"}, TABLE)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="WithSoftmax seems to end in a softmax.*take logits"):
        build_network({"_target_": f"{__name__}.WithSoftmax"}, TABLE, allow=["models"])
