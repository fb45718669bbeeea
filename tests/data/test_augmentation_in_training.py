"""What an image goes through depends on seed, epoch and row; workers, ranks and mixing change
nothing, and validation and test images are left alone."""

from typing import Any

import numpy as np
import pytest
import torch

from helpers.batches import Noisy, Pictures, module, pictures
from mixlab.data import Datasets, ImageDataModule
from mixlab.data.augmentation import KINDS, FlipCrop, OneOf, Rotation
from mixlab.data.augmentation import Noise as PixelNoise
from mixlab.data.loader import split_guests
from mixlab.data.sampler import TrainBatchSampler
from mixlab.mixing import Batch

PER_IMAGE = OneOf([Rotation(degrees=90), PixelNoise(std=(0.1, 0.2))])
BATCHED = PixelNoise(std=(0.1, 0.2))


def augmented(augmentation: Any = PER_IMAGE, **options: Any) -> ImageDataModule:
    return module(40, augmentation=augmentation, label_preserving=KINDS, batch_size=7, **options)


def before_and_after(data: ImageDataModule, epoch: int, number: int) -> tuple[Batch, Batch]:
    """A training batch as it was read, and augmented, neither in float yet."""
    key = next(data.train_plan().batches(epoch, number))
    parts = (data.parts.train, data.augmented_part())
    before, after = (next(iter(part.data.batches([key]))) for part in parts)
    if data.guests:
        before, after = split_guests(before), split_guests(after)
    assert after.address is not None
    data.prepare.augment(after, after.address)
    return before, after


def epoch_of(data: ImageDataModule, epoch: int = 1, world_size: int = 1) -> dict[int, Any]:
    """Each row's image as the training loader gives it in an epoch."""
    images: dict[int, Any] = {}
    for rank in range(world_size):
        train = data.train_dataloader()
        train.plan = TrainBatchSampler(
            data.parts.train.rows, 7, seed=data.seed, rank=rank, world_size=world_size
        )
        train.set_epoch(epoch)
        for batch in train:
            images |= zip(batch.index.tolist(), batch.images, strict=True)
    data.teardown("fit")
    return images


def same(one: dict[int, Any], other: dict[int, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[row], other[row]) for row in one)


def test_neither_workers_nor_ranks_change_an_image() -> None:
    alone = epoch_of(augmented())
    assert len(alone) == 36
    assert same(alone, epoch_of(augmented(num_workers=2)))
    assert same(alone, epoch_of(augmented(), world_size=2))


def test_epochs_and_seeds_do() -> None:
    alone = epoch_of(augmented())
    for other in (epoch_of(augmented(), epoch=2), epoch_of(augmented(seed=1))):
        differ = [not torch.equal(alone[row], other[row]) for row in alone]
        assert np.mean(differ) > 0.9


@pytest.mark.parametrize("augmentation", [PER_IMAGE, BATCHED, FlipCrop(True, 2)])
def test_an_epoch_that_was_cut_off_goes_on_as_it_would_have(augmentation: Any) -> None:
    def batches(position: int) -> list[torch.Tensor]:
        data = augmented(augmentation)
        train = data.train_dataloader()
        train.set_epoch(1)
        if position:
            train.load_state_dict({"epoch": 1, "position": position})
        return [data.on_after_batch_transfer(batch, 0).images for batch in train]

    whole, rest = batches(0), batches(2)
    assert len(rest) == len(whole) - 2
    assert all(map(torch.equal, rest, whole[2:]))


@pytest.mark.parametrize("augmentation", [PER_IMAGE, BATCHED])
def test_arms_see_the_same_images_whoever_else_is_loaded(augmentation: Any) -> None:
    alone, guests, mixed = (
        augmented(augmentation, guests=guests) for guests in (None, "second_pass", "dataset")
    )
    for batch in range(6):
        one, others = before_and_after(alone, 1, batch), (guests, mixed)
        for other in (before_and_after(data, 1, batch) for data in others):
            assert all(map(torch.equal, (x.images for x in one), (x.images for x in other)))
            assert other[1].guests is not None
            assert not torch.equal(other[0].guests.images, other[1].guests.images)


@pytest.mark.parametrize("augmentation", [PER_IMAGE, BATCHED])
def test_before_and_after_are_what_is_trained_on(augmentation: Any) -> None:
    data = augmented(augmentation)
    train = data.train_dataloader()
    train.set_epoch(3)
    for number, batch in enumerate(train):
        before, after = before_and_after(data, 3, number)
        assert torch.equal(before.images, pictures(40).images[before.index])
        assert before.images.dtype == after.images.dtype == torch.uint8
        assert torch.equal(before.index, after.index) and torch.equal(before.index, batch.index)
        assert not torch.equal(before.images, after.images)
        seen = data.on_after_batch_transfer(batch, 0)
        assert torch.equal(seen.images, data.prepare.floated(after.images))


@pytest.mark.parametrize("augmentation", [PER_IMAGE, BATCHED])
@pytest.mark.parametrize("train", [pictures(40), Pictures(labels=(0, 1, 0, 1, 0, 1))])
def test_only_training_images_are_augmented(augmentation: Any, train: Any) -> None:
    data, plain = (
        ImageDataModule(
            Datasets(train, None, train), augmentation=each, label_preserving=KINDS,
            val_size=2, seed=5,
            class_names=[str(number) for number in range(10)],
        )
        for each in (augmentation, None)
    )  # fmt: skip
    for loader in ("val_dataloader", "test_dataloader", "predict_dataloader"):
        for one, other in zip(getattr(data, loader)(), getattr(plain, loader)(), strict=True):
            images = data.on_after_batch_transfer(one, 0).images
            assert torch.equal(images, plain.on_after_batch_transfer(other, 0).images)
    assert data.fingerprint == plain.fingerprint
    one, other = (next(iter(each.train_dataloader())) for each in (data, plain))
    one, other = data.on_after_batch_transfer(one, 0), plain.on_after_batch_transfer(other, 0)
    assert not torch.equal(one.images, other.images)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_per_image_ones_refuse_floats_in_a_sentence(num_workers: int) -> None:
    data = ImageDataModule(
        Noisy(), augmentation=Rotation(), label_preserving=KINDS, num_workers=num_workers
    )
    with pytest.raises(ValueError, match="Noisy are torch.float32, but Rotation needs uint8") as e:
        next(iter(data.train_dataloader()))
    assert "\n" not in str(e.value)
    data.teardown("fit")


def test_the_data_and_the_augmentation_must_fit() -> None:
    with pytest.raises(ValueError, match="rotate, which may change the label .* of mine"):
        module(augmentation=Rotation(), name="mine", label_preserving=["flip"])
    with pytest.raises(ValueError, match="label_preserving may list .* it has 'colour'"):
        module(label_preserving=["colour"])


def test_images_augmented_on_loading_are_not_augmented_again() -> None:
    data = augmented()
    (address, rows), *_ = data.train_plan().batches(0)
    assert address is not None
    loaded = next(iter(data.augmented_part().data.batches([(address, rows)])))
    images = loaded.images.clone()
    assert torch.equal(data.prepare(loaded, address).images, images.float() / 255)
