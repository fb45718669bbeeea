import random

import numpy as np
import pytest
import torch
from torch.utils.data import Subset, TensorDataset

from helpers.batches import Noisy, Pictures
from mixlab.data import ImageDataModule
from mixlab.data.map_style import EVALUATION, ItemDataset


def epoch_of(num_workers: int, *, world_size: int = 1, epoch: int = 1) -> dict[int, torch.Tensor]:
    """Each row's image as it is drawn in an epoch."""
    from mixlab.data.sampler import TrainBatchSampler

    data = ImageDataModule(Noisy(), seed=3, batch_size=5, val_size=0.25, num_workers=num_workers)
    images = {}
    for rank in range(world_size):
        plan = TrainBatchSampler(data.parts.train.rows, 5, seed=3, rank=rank, world_size=world_size)
        train = data.train_dataloader()
        train.plan = plan
        train.set_epoch(epoch)
        for batch in train:
            images.update(zip(batch.index.tolist(), batch.images, strict=True))
    data.teardown("fit")
    return images


def same(one: dict[int, torch.Tensor], other: dict[int, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[row], other[row]) for row in one)


def test_neither_workers_nor_ranks_change_what_is_drawn():
    alone = epoch_of(0)
    assert len(alone) == 18
    assert same(alone, epoch_of(2))
    assert same(alone, epoch_of(0, world_size=2))
    assert not same(alone, epoch_of(0, epoch=2))


def test_workers_serve_one_epoch_after_the_other():
    here, there = (
        ImageDataModule(Noisy(), seed=3, batch_size=5, num_workers=number) for number in (0, 2)
    )
    loaders = [data.train_dataloader() for data in (here, there)]
    for epoch in range(3):
        for train in loaders:
            train.set_epoch(epoch)
        limited = zip(*loaders, strict=True) if epoch else zip(*map(two, loaders), strict=True)
        for one, other in limited:
            assert one.address == other.address
            torch.testing.assert_close(one.images, other.images)
        validation = zip(here.val_dataloader(), there.val_dataloader(), strict=True)
        assert all(torch.equal(one.images, other.images) for one, other in validation)
    there.teardown("fit")


def two(loader):
    """Its first two batches, as with trainer.limit_train_batches=2."""
    iterator = iter(loader)
    return [next(iterator), next(iterator)]


def test_the_global_generators_are_left_as_they_were():
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    list(ImageDataModule(Noisy(), batch_size=5, num_workers=0).train_dataloader())
    assert (torch.rand(1), np.random.rand(), random.random()) == expected


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4)])
def test_pil_images(mode, channels):
    data = ImageDataModule(Pictures(mode), class_names=["a", "b"], val_size=0)
    batch = next(iter(data.train_dataloader()))
    assert batch.images.shape == (2, channels, 28, 28) and batch.images.dtype == torch.uint8
    assert (batch.images == 255).all()


@pytest.mark.parametrize("shape", [(28, 20), (28, 20, 3), (3, 28, 20), (1, 28, 20)])
def test_arrays_and_tensors(shape):
    array = np.random.default_rng(0).random(shape, dtype=np.float32)
    data = ItemDataset([(array, 0), (torch.from_numpy(array), 1)])
    channels = {(28, 20): 1, (28, 20, 3): 3}.get(shape, shape[0])
    assert data.shape == (channels, 28, 20)


def test_a_tensor_data_set_of_torch():
    images, labels = torch.rand(30, 1, 28, 28), torch.arange(30) % 3
    data = ImageDataModule(TensorDataset(images, labels), class_names="abc", val_size=0.2)
    assert data.spec.class_names == ("a", "b", "c")
    assert data.record()["val_split"].startswith("random rows")  # it shows no labels
    batch = next(iter(data.train_dataloader()))
    torch.testing.assert_close(batch.images, images[batch.index])
    torch.testing.assert_close(batch.targets, labels[batch.index])


def test_known_labels_are_held_out_class_by_class():
    data = ImageDataModule(Noisy(30), val_size=0.2)
    held_out = data.parts.val.rows
    assert np.bincount(held_out % 3).tolist() == [2, 2, 2]


def test_image_size_makes_shapes_equal():
    sides = {"side": (20, 30)}
    data = ImageDataModule(Pictures(**sides), class_names="ab", val_size=0, image_size=28)
    assert next(iter(data.train_dataloader())).images.shape == (2, 3, 28, 28)
    data = ImageDataModule(Pictures(**sides), class_names="ab", val_size=0)
    with pytest.raises(ValueError, match="differ in shape.*set data.image_size"):
        next(iter(data.train_dataloader()))


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("label", [2, -1, "cat", None, torch.tensor([0, 1])])
def test_labels_outside_the_classes_are_one_sentence(label, num_workers):
    data = ImageDataModule(
        Pictures(labels=(0, label)), class_names="ab", val_size=0, num_workers=num_workers
    )
    with pytest.raises(ValueError, match="row 1 of Pictures has label .* below 2") as error:
        next(iter(data.train_dataloader()))
    assert "\n" not in str(error.value)
    data.teardown("fit")


def test_a_part_of_a_data_set_has_the_class_names_of_the_whole():
    whole = Pictures()
    whole.classes = ["cat", "dog"]
    part = Subset(Subset(whole, range(8)), range(6))
    assert ItemDataset(part).class_names == ("cat", "dog")


def test_classes_must_come_from_somewhere():
    with pytest.raises(ValueError, match="Pictures does not say which classes it has"):
        ImageDataModule(Pictures())


@pytest.mark.parametrize("thing", [iter([1]), 3])
def test_what_is_no_map_style_data_set(thing):
    with pytest.raises(ValueError, match="is not a map-style data set"):
        ImageDataModule(thing)


def test_an_image_that_is_none():
    with pytest.raises(ValueError, match="must be uint8, or float"):
        ImageDataModule([(np.zeros((28, 28), np.int32), 0)], class_names="a")


def test_the_fingerprint_sees_images_and_labels():
    def fingerprint(value: float, label: int = 0) -> str:
        rows = [(torch.full((1, 28, 28), value), label)] * 4
        return ItemDataset(rows).fingerprint

    assert fingerprint(0.5) == fingerprint(0.5)
    assert len({fingerprint(0.5), fingerprint(0.6), fingerprint(0.5, label=1)}) == 3
    assert ItemDataset(Noisy()).fingerprint == ItemDataset(Noisy()).fingerprint


def test_a_row_that_is_no_pair_is_one_sentence():
    with pytest.raises(ValueError, match="row 0 of list is a dict; it must be a pair of an image"):
        ImageDataModule([{"image": torch.zeros(1, 28, 28), "label": 0}], class_names="a")


class Column:
    names = ("even", "odd")


class Rows:
    """As a data set of Hugging Face's: dicts by row, columns by name, classes in `features`."""

    column_names = ("image", "label")
    features = {"image": None, "label": Column()}

    def __len__(self):
        return 40

    def __getitem__(self, key):
        if key == "label":
            return [row % 2 for row in range(40)]
        return {"image": torch.full((1, 4, 4), key, dtype=torch.uint8), "label": key % 2}


def test_items_that_are_dicts():
    data = ImageDataModule(Rows(), image_key="image", label_key="label", val_size=0.25)
    assert data.spec.class_names == ("even", "odd")
    images, label = ItemDataset(Rows(), keys=("image", "label")).item(7, EVALUATION)
    assert int(images[0, 0, 0]) == 7 and int(label) == 1
    held_out = data.parts.val.rows % 2
    assert (held_out == 0).sum() == (held_out == 1).sum() == 5, "stratified by the column"


@pytest.mark.parametrize("keys", [(None, None), ("image", "lable")])
def test_dicts_need_the_names_of_image_and_label(keys):
    with pytest.raises(ValueError, match=r"a dict; .* data\.label_key .* \(image, label\)"):
        _ = ItemDataset(Rows(), keys=keys).shape


class Told(Noisy):
    """A data set that says its own digest, and shows brighter images in training."""

    def __init__(self, digest: str, light: float = 0.0) -> None:
        super().__init__()
        self.digest, self.light = digest, light

    def __getitem__(self, row: int):
        return torch.full((1, 4, 4), 0.25 + self.light), row % 2

    def for_training(self) -> "Told":
        return Told(self.digest, light=0.5)


def test_a_data_set_that_knows_its_digest_is_told_from_one_with_another():
    one, same_one, other = (ItemDataset(Told(digest)).fingerprint for digest in "aab")
    assert one == same_one != other


def test_only_training_sees_what_a_data_set_does_for_training():
    data = ImageDataModule(Told("a"), batch_size=4, val_size=0.25)
    shown = [
        next(iter(loader)).images for loader in (data.train_dataloader(), data.val_dataloader())
    ]
    assert shown[0].float().mean() > shown[1].float().mean()
