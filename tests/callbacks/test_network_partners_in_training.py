"""Partners that ask the network, in whole trainings."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

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
from mixlab.callbacks.confusions import Confusions
from mixlab.callbacks.mixing_checks import check_network_rule
from mixlab.errors import UserError
from mixlab.mixing.methods import Mixup
from mixlab.mixing.partners import NETWORK_RULES
from mixlab.training.fsdp import FullySharded


class Bound(pl.Callback):
    """The confusions in use at each training batch, and what the network says of validation."""

    def __init__(self) -> None:
        self.used: list[Any] = []
        self.expected: list[torch.Tensor] = []

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        mixing = next(each for each in trainer.callbacks if isinstance(each, MixingCallback))
        self.used.append(mixing.policy.partners.counts)  # pyright: ignore

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.matrix = torch.zeros(10, 10, dtype=torch.int64)

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *_: Any
    ) -> None:
        images, targets = batch
        for true, guess in zip(targets, pl_module(images).argmax(1), strict=True):
            self.matrix[true, guess] += 1

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self.expected.append(self.matrix)


def test_the_confusions_are_those_of_the_last_validation(tmp_path: Path) -> None:
    bound = Bound()
    words = ["model=cnn_bn", "mixing.partners=confusable", "trainer.max_epochs=3"]
    train_with(small(tmp_path, *words), bound)
    assert [each is None for each in bound.used] == [True] * 4 + [False] * 8
    for epoch in (1, 2):
        for used in bound.used[4 * epoch : 4 * epoch + 4]:
            assert torch.equal(torch.from_numpy(used), bound.expected[epoch - 1])
    assert bound.expected[0].sum() == 288 and not torch.equal(*bound.expected[:2])


@pytest.mark.parametrize("rule", NETWORK_RULES)
def test_a_resumed_run_is_bit_identical(tmp_path: Path, rule: str) -> None:
    overrides = ["model=cnn_bn", f"mixing.partners={rule}", "checkpoint_minutes=0"]
    whole, cut = (small(tmp_path / name, *overrides) for name in ("whole", "cut"))
    straight, second = Watch(), Watch()
    train_with(whole, straight)
    with pytest.raises(Interrupted):
        train_with(cut, SignalAt(1, 2))
    train_with(cut, second)
    assert 0 < len(second.steps) < len(straight.steps)
    for ours, theirs in zip(reversed(second.steps), reversed(straight.steps), strict=False):
        assert torch.equal(ours.images, theirs.images)
    states = (checkpoint(cfg)["state_dict"] for cfg in (whole, cut))
    assert not [*differences(*states)]


def test_anybodys_module_and_loader_have_their_confusions(tmp_path: Path) -> None:
    callback = MixingCallback(Mixup(1.0), partners="confusable", num_classes=10)
    trainer(tmp_path, callback).fit(Plain(), loader_of_lists(), loader_of_lists())
    counts = callback.confusions.as_array()
    assert counts is not None and counts.shape == (10, 10) and counts.sum() == 32
    assert (counts.sum(1) == np.bincount(np.arange(32) % 10, minlength=10)).all()


def test_a_loader_of_ones_own_needs_one_for_validation(tmp_path: Path) -> None:
    callback = MixingCallback(Mixup(1.0), partners="confusable", num_classes=10)
    sentence = "there is none; give fit a validation loader and the model a validation_step"
    with pytest.raises(UserError, match=sentence):
        trainer(tmp_path, callback).fit(Plain(), loader_of_lists())


def test_all_ranks_use_the_counts_of_all() -> None:
    confusions, network = Confusions(), nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    confusions.add(network, (torch.rand(5, 1, 2, 2), torch.tensor([0, 1, 2, 2, 1])))
    own = confusions._so_far
    assert own is not None
    strategy = SimpleNamespace(reduce=lambda counts, reduce_op: 2 * counts)
    two_ranks: Any = SimpleNamespace(world_size=2, strategy=strategy)
    confusions.end(two_ranks)
    assert confusions.counts is not None and torch.equal(confusions.counts, 2 * own)
    confusions.add(network, [torch.rand(5, 1, 2, 2), torch.eye(3)[[0, 0, 0, 0, 0]]])
    confusions.begin()  # that validation was cut off
    confusions.end(two_ranks)
    assert torch.equal(confusions.counts, 2 * own)


def test_it_needs_validation_and_a_whole_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = "counts what is confused in validation, and there is none; "
    causes = {
        (False, 1.0): "set data.val_size=0.1, or use other_class",
        (True, 0): "leave out trainer.limit_val_batches=0, or use other_class",
    }
    for (has_validation, limit), remedy in causes.items():
        data = SimpleNamespace(has_validation=has_validation)
        with pytest.raises(UserError, match=sentence + remedy):
            check_network_rule("confusable", trainer(tmp_path, limit_val_batches=limit), data)
    callback = MixingCallback(Mixup(1.0), partners="nearest_features", num_classes=10)
    run = trainer(tmp_path, callback)
    sharded = property(lambda _: object.__new__(FullySharded))
    monkeypatch.setattr(type(run), "strategy", sharded)
    sentence = "mixing.partners=nearest_features looks at the network, of which FullySharded"
    with pytest.raises(UserError, match=sentence):
        callback.setup(run, Plain(), "fit")
