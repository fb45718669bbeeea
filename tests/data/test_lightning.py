"""A LightningDataModule of a user's: its data sets are taken, and what would be lost is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from mixlab.data import ImageDataModule, LightningSource
from mixlab.errors import UserError

IMAGES, LABELS = torch.rand(12, 1, 4, 4), torch.arange(12) % 3


class Plain(pl.LightningDataModule):
    def __init__(self, **train: Any) -> None:
        super().__init__()
        self.train, self.stages = {"shuffle": True, **train}, []

    def prepare_data(self) -> None:
        self.stages.append("prepare")

    def setup(self, stage: str) -> None:
        self.stages.append(stage)
        self.rows = TensorDataset(IMAGES, LABELS)

    def train_dataloader(self) -> Any:
        return DataLoader(self.rows, batch_size=4, **self.train)


class WithTest(Plain):
    def val_dataloader(self) -> Any:
        return DataLoader(TensorDataset(IMAGES[:6], LABELS[:6]))

    def test_dataloader(self) -> Any:
        assert self.stages[-1] == "test"
        return DataLoader(TensorDataset(IMAGES[:3], LABELS[:3]))


class Hooked(Plain):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch


class Several(Plain):
    def train_dataloader(self) -> Any:
        return [super().train_dataloader()] * 2


def test_its_data_sets_are_served_row_by_row() -> None:
    data = ImageDataModule(LightningSource(WithTest()), class_names=["a", "b", "c"], batch_size=4)
    assert [len(part) for part in data.parts.named().values()] == [12, 6, 3]
    seen = [batch.index for batch in data.train_dataloader()]
    assert sorted(torch.cat(seen).tolist()) == list(range(12)), "each training row once"
    (batch,) = data.test_dataloader()
    assert torch.equal(batch.images, IMAGES[:3]) and batch.targets.tolist() == [0, 1, 2]


def test_without_other_loaders_training_rows_validate() -> None:
    module = Plain()
    found = LightningSource(module).splits()
    assert found.val is None and found.test is None
    assert module.stages == ["prepare", "fit"]


@pytest.mark.parametrize(
    "module, sentence",
    [
        (lambda: Hooked(), "has a hook on_after_batch_transfer, which would not run"),
        (lambda: Plain(collate_fn=list), "has its own collate_fn"),
        (
            lambda: Plain(shuffle=False, sampler=WeightedRandomSampler([1.0] * 12, 12)),
            "has a WeightedRandomSampler of its own",
        ),
        (
            lambda: Plain(
                shuffle=False,
                sampler=torch.utils.data.RandomSampler(LABELS.tolist(), num_samples=5),
            ),
            "has a RandomSampler of its own",
        ),
        (lambda: Several(), "returned a list; it must return one"),
        (lambda: TensorDataset(IMAGES), "is a TensorDataset, not a LightningDataModule"),
    ],
)
def test_what_would_be_lost_is_refused(module: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        LightningSource(module()).splits()
