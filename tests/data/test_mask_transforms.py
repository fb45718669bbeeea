"""What moves an image moves its segmentation mask the same way; what does not leaves it."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mixlab.data import ImageDataModule, shapes
from mixlab.data.augmentation import (
    AugMix,
    AutoAugment,
    Cutout,
    FlipCrop,
    GridMask,
    HideAndSeek,
    Noise,
    OneOf,
    RandAugment,
    RandomErasing,
    Rotation,
    Sequence,
    TrivialAugment,
)
from mixlab.data.global_rng import private_generators, set_generators
from mixlab.mixing import Address

KINDS = ["flip", "crop", "rotate", "color", "blur", "noise", "erase"]
COLOR = 60  # of class 1; class 2 has twice as much
MOVES = ("Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel")
ONLY_MOVES = {
    "rotation": Rotation(40, probability=0.7),
    "randaugment": RandAugment(2, 6, rate=0.8, pool=MOVES),
    "sequence": Sequence([FlipCrop(), Rotation(20)]),
    "one_of": OneOf([FlipCrop(), Rotation(90)]),
}
POLICIES = {
    "autoaugment": AutoAugment(policy="svhn", probability=0.9),
    "trivialaugment": TrivialAugment(),
    "randaugment": RandAugment(pool=(*MOVES, "Invert", "Solarize", "GaussianBlurRand")),
}
HIDES = [
    Cutout(),
    RandomErasing(),
    GridMask(),
    HideAndSeek(),
    Noise(),
    RandAugment(pool=["Invert"]),
]


def drawn(rows: int = 6) -> tuple[Tensor, Tensor]:
    """Pictures in the colors of their masks: two large shapes."""
    masks = torch.zeros(rows, 48, 52, dtype=torch.uint8)
    masks[:, 8:28, 6:24] = 1
    masks[:, 20:44, 26:48] = 2
    return (masks * COLOR)[:, None].repeat(1, 3, 1, 1), masks


def inside(masks: Tensor, number: int, width: int = 4) -> Tensor:
    """bool (B, H, W): pixels of a class, `width` pixels from those of others and the border."""
    others = F.pad((masks != number).float()[:, None], [width] * 4, value=1)
    return F.max_pool2d(others, 2 * width + 1, 1)[:, 0] == 0


def both(augmentation, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images and masks, as they were and as they became."""
    images, masks = drawn()
    with private_generators():
        return images, masks, *augmentation.with_masks(images, masks, np.random.default_rng(seed))


@pytest.mark.parametrize("name", ONLY_MOVES)
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_mask_lies_where_its_picture_lies(name: str, seed: int) -> None:
    images, masks, moved, with_them = both(ONLY_MOVES[name], seed)
    assert with_them.dtype == torch.uint8 and set(with_them.unique().tolist()) <= {0, 1, 2}
    for number in (0, 1, 2):
        here = inside(with_them, number)[:, None].expand_as(moved)
        assert ((moved[here].int() - number * COLOR).abs() <= 2).all(), "bicubic rounds"
    with private_generators():
        alone = ONLY_MOVES[name](images, np.random.default_rng(seed))
    assert torch.equal(moved, alone), "a mask changes no draw"
    untouched = drawn()
    assert torch.equal(images, untouched[0]) and torch.equal(masks, untouched[1])


@pytest.mark.parametrize("name", POLICIES)
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**32 - 1))
def test_colors_change_and_masks_do_not(name: str, seed: int) -> None:
    images, _, moved, with_them = both(POLICIES[name], seed)
    assert set(with_them.unique().tolist()) <= {0, 1, 2}
    for picture, mask in zip(moved, with_them, strict=True):
        for number in (1, 2):  # the border may have another color than class 0
            assert len(picture[:, inside(mask[None], number)[0]].unique(dim=1).T) <= 1
    with private_generators():
        alone = POLICIES[name](images, np.random.default_rng(seed))
    assert torch.equal(moved, alone), "a mask changes no draw"


@pytest.mark.parametrize("name", ["rotation", "randaugment", "autoaugment", "trivialaugment"])
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**63 - 1))
def test_a_mask_moves_as_a_picture_in_its_colors_would_by_nearest_neighbors(
    name: str, seed: int
) -> None:
    transform = {**POLICIES, **ONLY_MOVES}[name].mask_transform
    images, masks = drawn(1)
    with private_generators():
        set_generators(seed)
        picture = np.array(transform(Image.fromarray(images[0].permute(1, 2, 0).numpy())))
        set_generators(seed)
        mask = np.array(transform(Image.fromarray(masks[0].numpy())))
    assert (picture == mask[:, :, None] * COLOR).all()


@pytest.mark.parametrize("name", [*ONLY_MOVES, *POLICIES])
def test_masks_do_move(name: str) -> None:
    for_workers = pickle.loads(pickle.dumps({**POLICIES, **ONLY_MOVES}[name]))
    _, masks, _, with_them = both(for_workers, 0)
    moved = (masks != with_them).flatten(1).any(1)
    assert moved.any()


@pytest.mark.parametrize("augmentation", HIDES, ids=lambda each: type(each).__name__)
def test_what_hides_or_recolors_leaves_masks(augmentation) -> None:
    images, masks, changed, left = both(augmentation, 1)
    assert torch.equal(masks, left) and not torch.equal(images, changed)


@pytest.mark.parametrize("augmentation", [AugMix(), Sequence([FlipCrop(), AugMix()])])
def test_what_would_leave_the_masks_behind_is_refused(augmentation) -> None:
    with pytest.raises(ValueError, match="cannot move segmentation masks .*flip_crop"):
        module(augmentation)


def test_a_batch_has_the_masks_of_its_images() -> None:
    data = module(Rotation(45))
    turned, still = (next(iter(each.train_dataloader())) for each in (data, module(None)))
    assert torch.equal(turned.index, still.index)
    rows = turned.index.tolist()
    for row, mask in zip(rows, turned.targets, strict=True):
        with private_generators():
            item = data.augmented_part().data.item(row, Address(0, 0, 0, 0))
        assert torch.equal(mask, item[1])
    assert not torch.equal(turned.targets, still.targets)
    counts = torch.bincount(turned.targets.flatten().long(), minlength=4)
    assert (counts[1:] > 0).all()


def module(augmentation, **options) -> ImageDataModule:
    """Shapes under an augmentation."""
    return ImageDataModule(
        shapes.pictures("val"), val_size=0, batch_size=8, label_preserving=KINDS,
        augmentation=augmentation, **options,
    )  # fmt: skip
