"""`mixlab.torchvision` beside `torchvision.transforms.v2`: one contract, one distribution."""

from collections import UserDict
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2

from mixlab.torchvision import BatchTransform, CutMix, MixUp

BOTH = [MixUp, CutMix]
ROWS, CLASSES, SIZE = 8, 20, (12, 10)
IMAGES = torch.rand(ROWS, 3, *SIZE, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(ROWS)


def pictures(rows: int = ROWS) -> Tensor:
    """Each row is its own class in every pixel."""
    return torch.eye(rows).view(rows, rows, 1, 1).expand(-1, -1, *SIZE).clone()


def check(images: Tensor, targets: Tensor) -> None:
    assert images.shape == IMAGES.shape and targets.shape == (ROWS, CLASSES)
    torch.testing.assert_close(targets.sum(1), torch.ones(ROWS))
    assert ((targets != 0).sum(1) == 2).all() and not torch.equal(images, IMAGES)


@pytest.mark.parametrize("kind", BOTH)
def test_the_forms_of_a_call(kind: type[BatchTransform]) -> None:
    transform = kind(num_classes=CLASSES, seed=2)
    check(*transform(IMAGES, LABELS))
    packed = transform([IMAGES, LABELS])
    assert type(packed) is list
    check(*packed)
    rows = list(zip(IMAGES, LABELS, strict=True))
    for collate in (lambda rows: transform(default_collate(rows)),
                    lambda rows: transform(*default_collate(rows))):  # fmt: skip
        check(*next(iter(DataLoader(rows, batch_size=ROWS, collate_fn=collate))))  # pyright: ignore


@pytest.mark.parametrize("key", ["labels", "LABELS", "LaBeL", "fooLabelBar"])
@pytest.mark.parametrize("kind", [dict, tuple, list])
def test_labels_in_a_dict(key: str, kind: type) -> None:
    entries: dict[str, Any] = {key: LABELS, "note": "kept", "image": IMAGES}
    sample = entries if kind is dict else kind((IMAGES, {key: LABELS, "note": "kept"}, "also"))
    mixed = CutMix(num_classes=CLASSES, seed=2)(sample)
    assert type(mixed) is kind
    inner = mixed if kind is dict else mixed[1]
    assert inner["note"] == "kept" and list(inner) == list(entries)[: len(inner)]
    check(inner["image"] if kind is dict else mixed[0], inner[key])


def test_the_entry_labels_goes_first() -> None:
    sample = {"image": IMAGES, "label_noise": torch.zeros(3, 3, 3), "Labels": LABELS}
    mixed = MixUp(num_classes=CLASSES, seed=2)(sample)
    check(mixed["image"], mixed["Labels"])
    assert mixed["label_noise"] is sample["label_noise"]


def test_a_labels_getter_and_nested_inputs() -> None:
    video = tv_tensors.Video(torch.rand(ROWS, 4, 3, *SIZE))
    sample = {"in": (tv_tensors.Image(IMAGES), [video, torch.ones(2)]), "gt": {"y": LABELS}}
    transform = CutMix(num_classes=CLASSES, labels_getter=lambda it: it["gt"]["y"], seed=2)
    mixed = transform(sample)
    (image, (clip, ones)), targets = mixed["in"], mixed["gt"]["y"]
    assert type(image) is tv_tensors.Image and type(clip) is tv_tensors.Video
    check(image.as_subclass(Tensor), targets)
    assert clip.shape == video.shape and not torch.equal(clip, video)
    assert ones is sample["in"][1][1], "plain tensors beside images are left alone"


@pytest.mark.parametrize("kind", BOTH)
def test_labels_that_mixed_ones_cannot_replace_are_refused(kind: type[BatchTransform]) -> None:
    """They stayed as they were, beside mixed images."""
    converts = kind(num_classes=CLASSES, labels_getter=lambda it: it["y"].long(), seed=2)
    with pytest.raises(ValueError, match="let labels_getter return them as they are"):
        converts({"image": IMAGES, "y": LABELS.int()})
    with pytest.raises(ValueError, match="keep them in a tuple, list or dict"):
        kind(num_classes=CLASSES, seed=2)(IMAGES, UserDict(labels=LABELS))


@pytest.mark.parametrize("kind", BOTH)
def test_labels_tell_what_is_in_the_pixels_and_partners_are_the_rows_before(
    kind: type[BatchTransform],
) -> None:
    transform = kind(num_classes=ROWS, seed=0)
    for _ in range(20):
        images, targets = transform(pictures(), LABELS)
        torch.testing.assert_close(images.mean((2, 3)), targets)
        allowed = torch.eye(ROWS) + torch.eye(ROWS).roll(1, 0)
        assert (targets[allowed == 0] == 0).all()
        assert targets.diagonal().allclose(targets[0, 0]), "one draw for the batch"


@pytest.mark.parametrize("alpha", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(("mine", "theirs"), [(MixUp, v2.MixUp), (CutMix, v2.CutMix)])
def test_shares_are_distributed_as_torchvisions(alpha: float, mine: Any, theirs: Any) -> None:
    def own(transform: Any) -> np.ndarray:
        pair = pictures(2), torch.arange(2)
        return np.array([transform(*pair)[1][0, 0].item() for _ in range(400)]).round(5)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = own(theirs(alpha=alpha, num_classes=2))
    drawn = own(mine(alpha=alpha, num_classes=2, seed=0))
    error = np.sqrt((drawn.var() + expected.var()) / len(drawn))
    assert abs(drawn.mean() - expected.mean()) < 4 * error
    assert drawn.var() == pytest.approx(expected.var(), rel=0.3)
    assert stats.ks_2samp(drawn, expected).pvalue > 0.001


def test_a_random_choice_of_both() -> None:
    choice = v2.RandomChoice([MixUp(num_classes=CLASSES, seed=2), CutMix(num_classes=CLASSES)])
    torch.manual_seed(0)
    whole = []
    for _ in range(12):
        images, targets = choice(IMAGES, LABELS)
        check(images, targets)
        whole.append(torch.isin(images, IMAGES).all().item())
    assert 0 < sum(whole) < 12, "CutMix alone leaves whole pixels"


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_and_new_tensors(kind: type[BatchTransform], dtype: torch.dtype) -> None:
    images, soft = IMAGES.to(dtype), torch.eye(ROWS, dtype=dtype)
    before = images.clone()
    mixed, targets = kind(seed=2)(images, soft)
    assert mixed.dtype == dtype and torch.equal(images, before) and not torch.equal(mixed, before)
    assert targets.dtype == torch.promote_types(dtype, torch.float32)
    assert torch.equal(soft, torch.eye(ROWS, dtype=dtype))


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_rows_of_integers_are_shares(kind: type[BatchTransform], dtype: torch.dtype) -> None:
    """As torchvision takes what `F.one_hot` returns."""
    rows = torch.eye(ROWS, CLASSES).to(dtype)
    expected = kind(num_classes=CLASSES, seed=2)(IMAGES, LABELS)
    for found, wanted in zip(kind(seed=2)(IMAGES, rows), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    theirs: Any = getattr(v2, kind.__name__)
    mixed = theirs()(IMAGES, rows)[1]
    assert mixed.dtype == torch.float32 and mixed.shape == expected[1].shape


def test_bytes_are_cut_but_not_averaged() -> None:
    images = (IMAGES * 255).byte()
    mixed, _ = CutMix(num_classes=CLASSES, seed=2)(images, LABELS)
    assert mixed.dtype == torch.uint8 and not torch.equal(mixed, images)
    assert ((mixed == images) | (mixed == images.roll(1, 0))).all()
    with pytest.raises(ValueError, match="images must be float, got uint8"):
        MixUp(num_classes=CLASSES, seed=2)(images, LABELS)


def test_draws_follow_seed_and_epoch_and_not_torchs_generator() -> None:
    def shares(transform: BatchTransform) -> list[float]:
        return [transform(IMAGES, LABELS)[1].diagonal()[0].item() for _ in range(3)]

    first = MixUp(num_classes=CLASSES, seed=2)
    state = torch.get_rng_state()
    drawn = shares(first)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(set(drawn)) == 3 and shares(MixUp(num_classes=CLASSES, seed=2)) == drawn
    assert shares(first) != drawn, "the count of calls is state"
    first.set_epoch(0)
    assert shares(first) == drawn
    first.set_epoch(1)
    assert not set(shares(first)) & set(drawn)
    assert "alpha=1.0, num_classes=20, seed=2" in repr(first)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((tv_tensors.Image(torch.rand(3, 4, 4)), LABELS), r"Image beside 8 labels .* \(3, 4, 4\)"),
        ((tv_tensors.Video(IMAGES), LABELS), r"must be \(B, T, C, H, W\) with B=8"),
        ((tv_tensors.Mask(torch.rand(4, 4)), LABELS), "take no Mask; give batches of images"),
        ((Image.new("L", (4, 4)), LABELS), "take no Image; give batches"),
        ((IMAGES, LABELS[:3]), "^got 8 images and 3 labels; give each image its label"),
        ((IMAGES[None], LABELS), r"must be \(B, C, H, W\) with B=8"),
        (({"image": IMAGES, "other": 3},), "no labels in a dict of image, other; give images and"),
        ((IMAGES, "cat"), "no labels in str; give images and labels, or set labels_getter"),
        ((IMAGES,), r"\(B, C\) of shares, got \(8, 3, 12, 10\); set labels_getter"),
        ((IMAGES, torch.rand(ROWS, 3)), r"shape \(8, 3\) do not have num_classes=20 columns"),
        ((IMAGES, LABELS + 20), "labels must be from 0 to 19 with num_classes=20, got 20"),
        (({"labels": LABELS},), "there are no images beside the labels"),
    ],
)
def test_inputs_that_cannot_be(kind: type[BatchTransform], given: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        kind(num_classes=CLASSES, seed=0)(*given)


def test_knobs_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="alpha must be a number above 0, got 0"):
        MixUp(alpha=0)
    with pytest.raises(ValueError, match="labels_getter must be 'default' or a function, got None"):
        MixUp(labels_getter=None)  # pyright: ignore
    with pytest.raises(ValueError, match="class numbers needs num_classes"):
        MixUp(seed=0)(IMAGES, LABELS)
    with pytest.raises(ValueError, match="seed must be an integer"):
        CutMix(seed=-1)
