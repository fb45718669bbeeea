import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from helpers.batches import Noisy, module, pictures
from mixlab.callbacks import MixingCallback
from mixlab.data import ArrayDataset, Datasets, FlipCrop, ImageDataModule
from mixlab.mixing import Guests, Mixup


def first(loader):
    return next(iter(loader))


def with_trainer(data: ImageDataModule, **options) -> ImageDataModule:
    data.trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, **options
    )
    return data


def test_what_the_model_has_to_know():
    spec = module().spec
    assert (spec.channels, spec.height, spec.width, spec.num_classes) == (1, 28, 28, 10)
    assert spec.class_names[2] == "class 2"


def test_a_training_batch_on_its_way():
    data = module()
    batch = data.on_after_batch_transfer(first(data.train_dataloader()), 0)
    raw = data.parts.train.data
    torch.testing.assert_close(batch.images, raw.images[batch.index].float() / 255)
    assert batch.targets.dtype == torch.float32
    torch.testing.assert_close(batch.targets, torch.eye(10)[raw.targets[batch.index]])


def test_evaluation_batches_are_normalized_but_neither_augmented_nor_mixed():
    data = with_trainer(
        module(
            augmentation=FlipCrop(True, 4), label_preserving=["flip", "crop"],
            normalize={"mean": 0.5, "std": 0.25},
        ),
        callbacks=[MixingCallback(Mixup(alpha=1.0))],
    )  # fmt: skip
    parts = data.parts
    for loader, part in (
        (data.val_dataloader(), parts.val),
        (data.test_dataloader(), parts.test),
        (data.predict_dataloader(), parts.test),
    ):
        batch = data.on_after_batch_transfer(first(loader), 0)
        normalized = (part.data.images[part.rows].float() / 255 - 0.5) / 0.25
        torch.testing.assert_close(batch.images, normalized)
        torch.testing.assert_close(batch.targets, part.data.targets[part.rows])


def test_whatever_is_not_ours_is_left_alone():
    data = module()
    example, pair = torch.zeros(1, 1, 28, 28, dtype=torch.uint8), [torch.ones(2), torch.ones(2)]
    assert data.on_after_batch_transfer(example, 0) is example
    assert data.on_after_batch_transfer(pair, 0) is pair
    assert data.transfer_batch_to_device(pair, torch.device("cpu"), 0)[0] is pair[0]


def test_the_index_stays_where_the_draws_are_made():
    batch = first(module().train_dataloader())
    moved = module().transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved.images.device.type == moved.targets.device.type == "meta"
    assert moved.index.device.type == "cpu"


def test_mixing_comes_after_augmentation_and_normalization():
    seen = []

    class Spy(MixingCallback):
        def mix(self, batch):
            seen.append(batch)
            return super().mix(batch)

    data = with_trainer(
        module(normalize={"mean": 0.5, "std": 0.25}),
        callbacks=[Spy(Mixup(alpha=1.0)), Spy(Mixup(alpha=0.2))],
    )
    after = data.on_after_batch_transfer(first(data.train_dataloader()), 0)
    raw = data.parts.train.data.images[seen[0].index].float() / 255
    torch.testing.assert_close(seen[0].images, (raw - 0.5) / 0.25)
    assert len(seen) == 2 and not torch.equal(seen[1].images, seen[0].images)
    assert not torch.equal(after.targets, seen[0].targets)
    torch.testing.assert_close(after.targets.sum(1), torch.ones(len(after.targets)))


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("32-true", torch.float32), ("bf16-true", torch.bfloat16), ("64-true", torch.float64)],
)
def test_images_end_in_the_precision_of_the_trainer(precision, dtype):
    data = with_trainer(module(), precision=precision)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        batch = data.on_after_batch_transfer(first(loader), 0)
        assert batch.images.dtype == dtype
        assert batch.targets.dtype in (torch.float32, torch.int64)


def test_augmentation_is_a_function_of_the_address():
    def images(seed: int, epoch: int) -> torch.Tensor:
        options = {"augmentation": FlipCrop(True, 4), "label_preserving": ["flip", "crop"]}
        data = module(seed=seed, shuffle=False, **options)
        loader = data.train_dataloader()
        loader.set_epoch(epoch)
        return data.on_after_batch_transfer(first(loader), 0).images

    torch.testing.assert_close(images(1, 2), images(1, 2))
    assert not torch.equal(images(1, 2), images(1, 3))
    assert not torch.equal(images(1, 2), images(2, 2))


def test_guests_go_the_same_way():
    data = with_trainer(
        module(normalize={"mean": 0.5, "std": 0.25}),
        callbacks=[MixingCallback(Mixup(alpha=1.0))],
    )
    batch = first(data.train_dataloader())
    raw, labels = data.parts.test.data.images, data.parts.test.data.targets
    batch.guests = Guests(raw.clone(), labels.clone())
    prepared = data.prepare(batch, batch.address)
    torch.testing.assert_close(prepared.guests.images, (raw.float() / 255 - 0.5) / 0.25)
    torch.testing.assert_close(prepared.guests.targets, torch.eye(10)[labels])
    assert len(data.mixed(prepared).images) == len(batch.images)


def test_overfitting_repeats_the_same_batches():
    data = with_trainer(module(), overfit_batches=2)
    epochs = []
    for epoch in range(2):
        loader = data.train_dataloader()
        loader.set_epoch(epoch)
        epochs.append(first(loader).index.tolist())
    assert epochs[0] == epochs[1]


def test_normalization_channel_by_channel():
    data = ImageDataModule(
        pictures(channels=3), normalize={"mean": [0.1, 0.2, 0.3], "std": [0.5, 1, 2]}
    )
    raw = torch.rand(4, 3, 28, 28)
    assert data.prepare.normalize is not None
    for channel, (mean, std) in enumerate(zip((0.1, 0.2, 0.3), (0.5, 1, 2), strict=True)):
        expected = (raw[:, channel] - mean) / std
        torch.testing.assert_close(data.prepare.normalize(raw)[:, channel], expected)


@pytest.mark.parametrize(
    "normalize",
    [{"mean": [0.5, 0.5], "std": [1]}, {"mean": 0.5}, {"mean": 0.5, "std": 0}, "imagenet", [0.5]],
)
def test_normalization_that_makes_no_sense(normalize):
    with pytest.raises(ValueError, match="data.normalize"):
        module(normalize=normalize)


def test_the_split_does_not_depend_on_the_seed_and_is_recorded():
    one, other = module(seed=1, val_size=10), module(seed=2, val_size=10)
    np.testing.assert_array_equal(one.parts.val.rows, other.parts.val.rows)
    assert one.record() == other.record()
    assert one.record()["train_rows"] == 50 and one.record()["val_rows"] == 10
    assert one.fingerprint != module(val_size=11).fingerprint
    assert not set(one.parts.val.rows) & set(one.parts.train.rows)


def test_without_a_validation_set():
    data = module(val_size=0)
    assert not data.has_validation and data.has_test
    assert data.val_dataloader() == [] and len(data.parts.train) == 60
    assert data.record()["val_split"] == "none"


def test_ranks_of_a_trainer(monkeypatch):
    data = with_trainer(module(80, val_size=0, batch_size=16))
    monkeypatch.setattr(pl.Trainer, "world_size", 2)
    monkeypatch.setattr(pl.Trainer, "global_rank", 1)
    batches = list(data.train_dataloader())
    assert [len(batch.index) for batch in batches] == [8] * 5
    assert {batch.address.rank for batch in batches} == {1}


def test_data_that_do_not_fit_together():
    with pytest.raises(ValueError, match="the test images of .* have shape .3, 28, 28.*image_size"):
        ImageDataModule(Datasets(pictures(), None, pictures(channels=3)))
    with pytest.raises(ValueError, match="the validation labels .* range from 0 to 9.* 3 classes"):
        ImageDataModule(Datasets(pictures(classes=3), pictures()))
    with pytest.raises(ValueError, match="the training data are empty"):
        ImageDataModule(pictures(0))


@pytest.mark.parametrize("size", [0, 2.5, "32", True])
def test_sizes_that_make_no_sense(size):
    for name in ("image_size", "batch_size", "eval_batch_size"):
        with pytest.raises(ValueError, match=f"data.{name} must be"):
            module(**{name: size})


def test_a_data_set_in_memory_and_one_that_is_not():
    data = ImageDataModule(Datasets(Noisy(), None, pictures(9, classes=3)), num_workers=0)
    assert first(data.train_dataloader()).images.dtype == torch.float32
    assert first(data.test_dataloader()).images.dtype == torch.uint8


def test_a_validation_set_may_be_left_unused():
    source = Datasets(pictures(40), pictures(20))
    assert len(ImageDataModule(source).parts.val) == 20
    data = ImageDataModule(source, use_val=False, val_size=5)
    assert len(data.parts.val) == 5 and len(data.parts.train) == 35
    assert data.parts.val.data is data.parts.train.data


def test_a_source_that_returns_no_datasets_is_named():
    class Pair:
        def splits(self):
            return pictures(), None

    with pytest.raises(ValueError, match=r"Pair.splits\(\) returned tuple; it must return"):
        ImageDataModule(Pair())  # pyright: ignore


@pytest.mark.parametrize(("shape", "labels"), [((8, 4, 4), 8), ((8, 1, 4, 4), 7)])
def test_arrays_that_do_not_fit_together(shape, labels):
    with pytest.raises(ValueError, match=r"mine: images must be .* got Tensor \(8, "):
        ArrayDataset(torch.zeros(shape, dtype=torch.uint8), torch.zeros(labels), (), "mine")
