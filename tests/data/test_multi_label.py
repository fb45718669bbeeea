"""Several labels an image, from memory and from items, up to the batch of the model."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from mixlab.data import ArrayDataset, Datasets, ImageDataModule
from mixlab.data.map_style import BadItem
from mixlab.errors import UserError
from mixlab.mixing import Address, Batch

IMAGES = torch.arange(12 * 16, dtype=torch.uint8).reshape(12, 1, 4, 4)
LABELS = torch.tensor([[row % 2, row % 3 == 0, row > 5] for row in range(12)]).to(torch.uint8)


class Items(Dataset):
    odd = -1  # the row with another kind of label

    def __init__(self, kind: Any = list, labels: Any = LABELS) -> None:
        self.kind, self.labels = kind, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        return IMAGES[row], 4 if row == self.odd else self.kind(self.labels[row].tolist())


def in_memory(labels: Any = LABELS) -> ArrayDataset:
    return ArrayDataset(IMAGES, labels, ("a", "b", "c"))


SETS = [in_memory, Items, lambda: Items(np.array), lambda: Items(torch.tensor)]


@pytest.mark.parametrize("make", SETS)
def test_labels_reach_the_model_as_they_are(make: Any) -> None:
    data = ImageDataModule(Datasets(make(), None, make()), batch_size=5, val_size=3)
    assert data.multi_label and not data.has_masks and data.spec.num_classes == 3
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        for batch in loader:
            batch = data.on_after_batch_transfer(batch, 0)
            assert batch.targets.dtype == torch.float32
            assert torch.equal(batch.targets, LABELS[batch.index].float())


def test_they_are_mixed_in_proportion() -> None:
    from mixlab.callbacks import MixingCallback
    from mixlab.mixing.methods import Mixup

    data = ImageDataModule(in_memory(), batch_size=12, val_size=0)
    (batch,) = data.train_dataloader()
    batch = data.on_after_batch_transfer(batch, 0)
    assert batch.address == Address(0, 0, 0, 0)
    seen = MixingCallback(Mixup(alpha=1.0)).mix(Batch(*batch, batch.address, batch.index))
    own = seen.blend.own_share[:, None]
    partner = batch.targets[seen.blend.source[:, 1]]
    torch.testing.assert_close(seen.after.targets, own * batch.targets + (1 - own) * partner)


@pytest.mark.parametrize(
    "train, test, sentence",
    [
        (in_memory(LABELS * 2), None, "are 0 or 1 for each of the 3 classes"),
        (in_memory(LABELS[:, :2]), None, "have shape"),
        (in_memory(), in_memory(LABELS[:, 0].long()), "only one of the training and"),
        (Items(), Items(labels=LABELS[:, :2]), "they must be 3 numbers, 0 or 1 for each class"),
        (Items(labels=LABELS * 2), None, "numbers, 0 or 1 for each class"),
        (Items(), Items(), "row 7 of Items has labels 4; they must be 3 numbers"),
    ],
)
def test_labels_of_another_kind_are_refused(train: Any, test: Any, sentence: str) -> None:
    if "row 7" in sentence:
        test.odd = 7
    with pytest.raises((UserError, BadItem), match=sentence):
        data = ImageDataModule(Datasets(train, None, test), val_size=0)
        list(data.train_dataloader()), list(data.test_dataloader())


def test_wrong_labels_on_purpose_are_for_one_class() -> None:
    with pytest.raises(UserError, match="not for several labels"):
        ImageDataModule(in_memory(), label_noise=0.5)
