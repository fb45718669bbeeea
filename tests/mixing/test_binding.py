"""A method that looks at the network gets it: from a mixer, a callback, or by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers.small_runs import Plain, small, trainer
from mixlab.callbacks import MixingCallback
from mixlab.mixing import AttentiveMix, CutMix, Mixer, Mixup, OneOf, Sequence, bind
from mixlab.mixing.binding import needs_network
from mixlab.mixing.methods.published import BothClasses
from mixlab.mixing.saliency import ActivationMap, InputGradient, SpectralResidual
from mixlab.training.build import build_data

NETWORK = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
IMAGES, LABELS = torch.rand(6, 3, 8, 8), torch.arange(6) % 5
NESTED: list[Any] = [
    AttentiveMix(),
    OneOf([Mixup(0.2), AttentiveMix()]),
    Sequence([OneOf([CutMix(1.0), AttentiveMix()]), Mixup(0.2)]),
    BothClasses(AttentiveMix()),
]


@pytest.mark.parametrize("method", NESTED, ids=repr)
def test_a_network_reaches_a_method_wherever_it_is(method: Any) -> None:
    assert needs_network(method)
    bound = bind(method, NETWORK)
    assert not needs_network(bound) and needs_network(method), "the method itself stays"
    assert bound == method and repr(bound) == repr(method)
    Mixer(method, num_classes=5, seed=0, network=NETWORK)(IMAGES, LABELS, epoch=0, batch=0)


@pytest.mark.parametrize("method", NESTED, ids=repr)
def test_without_a_network_it_is_a_sentence(method: Any) -> None:
    with pytest.raises(ValueError, match=r"looks at the network being trained; .*network=net"):
        Mixer(method, num_classes=5, seed=0)
    with pytest.raises(ValueError, match="was given none; use MixingCallback"):
        method(IMAGES, torch.eye(5)[LABELS], np.random.default_rng(0))


def test_what_needs_no_network_stays_itself() -> None:
    for method in (Mixup(0.2), AttentiveMix(saliency=SpectralResidual())):
        assert not needs_network(method) and bind(method, NETWORK) == method
    own = AttentiveMix(saliency=ActivationMap(network=NETWORK))
    assert not needs_network(own)


def test_the_callback_looks_at_the_module_that_is_trained(tmp_path: Path) -> None:
    """A second training with the same callback looks at the second module."""
    callback = MixingCallback(AttentiveMix(saliency=InputGradient()))
    data = build_data(small(tmp_path))
    for module in (Plain(), Plain()):
        trainer(tmp_path, callback, max_epochs=1, limit_train_batches=2).fit(module, data)
        bound: Any = callback.bound
        assert bound.saliency.network is module
        assert needs_network(callback.method)


def test_a_sharded_network_cannot_be_looked_at(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from mixlab.callbacks.mixing_checks import check_whole
    from mixlab.training.fsdp import FullySharded

    sharded: Any = SimpleNamespace(strategy=object.__new__(FullySharded))
    with pytest.raises(ValueError, match="AttentiveMix looks at the network.*use trainer=ddp"):
        check_whole(sharded, "AttentiveMix")
