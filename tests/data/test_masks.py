"""Segmentation masks go where their pictures go, through augmentation, mixing and training."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mixlab.callbacks import MixingCallback
from mixlab.data import ArrayDataset, ImageDataModule, Shapes
from mixlab.data.augmentation import Blur, Cutout, FlipCrop
from mixlab.data.map_style import ItemDataset
from mixlab.data.shapes import CLASSES, pictures
from mixlab.mixing import CutMix, Mixup
from mixlab.models import ImageSegmenter
from mixlab.models.metrics import build_metrics

KINDS = ["flip", "crop", "rotate", "color", "blur", "noise", "erase"]


def shapes(**options) -> ImageDataModule:
    return ImageDataModule(Shapes(), batch_size=32, val_size=0, label_preserving=KINDS, **options)


def test_shapes_are_the_same_every_time_and_differ_between_splits():
    (one, val, _), (again, _, _) = Shapes().splits(), Shapes().splits()
    assert torch.equal(one.images, again.images) and torch.equal(one.targets, again.targets)
    assert not torch.equal(one.images[: len(val)], val.images)
    assert one.targets.dtype == torch.uint8 and set(one.targets.unique().tolist()) == {0, 1, 2, 3}
    assert len(CLASSES) == 4


def test_a_shape_has_one_color_under_its_mask():
    data = pictures("val")
    image, mask = data.images[0].float(), data.targets[0]
    ground = image[:, mask == 0]
    assert (ground.std(1) < 25).all(), "the noise alone"


def test_resized_masks_are_still_class_numbers():
    small = pictures("val").resized(16)
    assert small.images.shape[-2:] == small.targets.shape[-2:] == (16, 16)
    assert set(small.targets.unique().tolist()) <= {0, 1, 2, 3}


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), padding=st.integers(0, 5), flip=st.booleans())
def test_flips_and_crops_move_both(seed: int, padding: int, flip: bool):
    masks = torch.randint(0, 200, (6, 9, 11), dtype=torch.uint8)
    images = masks[:, None].repeat(1, 3, 1, 1)  # pictures that show their own mask
    augmentation = FlipCrop(flip=flip, crop_padding=padding)
    moved, with_them = augmentation.with_masks(images, masks, np.random.default_rng(seed))
    assert torch.equal(moved, with_them[:, None].expand_as(moved))
    alone = augmentation(images, np.random.default_rng(seed))
    assert torch.equal(moved, alone), "a mask changes no draw"


@pytest.mark.parametrize("augmentation", [Cutout(), FlipCrop()], ids=["cutout", "flip_crop"])
def test_what_is_trained_on_are_planes_that_sum_to_one(augmentation):
    data = shapes(augmentation=augmentation)
    batch = next(iter(data.train_dataloader()))
    prepared = data.prepare(batch, batch.address)
    assert prepared.targets.shape == (32, 4, 64, 64)
    assert torch.equal(prepared.targets.sum(1), torch.ones(32, 64, 64))


@pytest.mark.parametrize("size", [5, 8, 24])
def test_masks_are_resized_in_step_with_their_images(size: int):
    """A disc in the middle, which stays in the middle: half a pixel beside would show."""
    side = torch.arange(12) - 5.5
    mask = (side[:, None] ** 2 + side**2 < 16).to(torch.uint8)
    image = (mask * 255).expand(3, 12, 12).contiguous()
    in_memory = ArrayDataset(image[None], mask[None], ("ground", "disc")).resized(size)
    batch = next(ItemDataset([(image, mask)], image_size=size).batches([(None, np.arange(1))]))
    for images, masks in ((in_memory.images, in_memory.targets), (batch.images, batch.targets)):
        for axis in (1, 2):
            assert torch.equal(masks, masks.flip(axis)), "as symmetric as before"
        outside = masks[0] != (images[0, 0] > 127)
        assert outside.float().mean() < 0.1


class Photos:
    """A user's set, whose masks are as large as the pictures, or not."""

    classes = ("ground", "thing")

    def __init__(self, mask_size: int) -> None:
        self.mask_size = mask_size

    def __len__(self) -> int:
        return 6

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        picture = torch.full((3, 12, 12), row, dtype=torch.uint8)
        return picture, torch.ones(self.mask_size, self.mask_size, dtype=torch.uint8)


def test_a_set_that_is_read_one_by_one_may_have_masks():
    data = ItemDataset(Photos(12), image_size=8)
    batch = next(data.batches([(None, np.arange(4))]))
    assert batch.images.shape == (4, 3, 8, 8) and batch.targets.shape == (4, 8, 8)
    assert len(data.fingerprint) == 64


def test_a_mask_of_another_size_is_named():
    with pytest.raises(ValueError, match=r"row 2 of Photos has a mask of 9 x 9 pixels, .*12 x 12"):
        next(ItemDataset(Photos(9)).batches([(None, np.array([2]))]))


class Watch(pl.Callback):
    """Keeps the first training batch of the second epoch."""

    batch = None

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == 0:
            self.batch = batch


@pytest.mark.slow
@pytest.mark.parametrize("method", [CutMix(1.0), Mixup(1.0), None], ids=["cutmix", "mixup", "none"])
def test_a_small_network_learns_the_pixels(method, tmp_path):
    pl.seed_everything(0, verbose=False)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1)]
    iou = {"_target_": "torchmetrics.classification.MulticlassJaccardIndex"}
    model = ImageSegmenter(
        nn.Sequential(*layers),
        lambda groups: torch.optim.Adam(groups, lr=0.01),
        num_classes=4,
        metrics=build_metrics({"iou": iou}, 4),
    )
    watch = Watch()
    mixing = [MixingCallback(method)] if method else []
    trainer = pl.Trainer(
        max_epochs=2, limit_train_batches=16, limit_val_batches=1, limit_test_batches=1,
        accelerator="cpu", callbacks=[*mixing, watch], default_root_dir=tmp_path,
        logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    data = shapes(augmentation=Blur(probability=0.5) if method else FlipCrop())
    trainer.fit(model, data)
    found = trainer.test(model, data, verbose=False)[0]
    assert 0 < found["test/iou"] < found["test/accuracy"] < 1
    assert found["test/loss"] < 1.2, "guessing costs 1.39"
    targets = watch.batch.targets
    torch.testing.assert_close(targets.sum(1), torch.ones(32, 64, 64))
    soft = ((targets > 0.01) & (targets < 0.99)).any()
    assert bool(soft) == isinstance(method, Mixup)
