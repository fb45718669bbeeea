"""Views of test images: the image first, each as described, whatever the batch they come in."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers.small_runs import composed
from mixlab.config.build import build
from mixlab.evaluation import Crops, Flip, RandAugment, Views

KINDS: list[Views] = [Flip(2), Crops(5), RandAugment(3)]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)


def images_of(dtype: torch.dtype, channels: int = 3) -> Tensor:
    images = torch.randint(0, 256, (6, channels, 16, 12), generator=torch.manual_seed(0))
    return images.to(dtype) if dtype == torch.uint8 else images.to(dtype) / 255


@every_kind
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_image_is_the_first_of_as_many_views(
    kind: Views, dtype: torch.dtype, channels: int
) -> None:
    images = images_of(dtype, channels)
    kept = images.clone()
    views = list(kind.of(images, torch.arange(6)))
    assert len(views) == kind.views and torch.equal(views[0], kept)
    assert torch.equal(images, kept), "the images given are left alone"
    for view in views[1:]:
        assert view.shape == images.shape and view.dtype == dtype
        assert not torch.equal(view, images)


@every_kind
def test_views_depend_on_the_row_and_on_nothing_before_it(kind: Views) -> None:
    images, index = images_of(torch.uint8), torch.tensor([7, 3, 11, 0, 4, 100])
    whole = list(kind.of(images, index))
    state = torch.get_rng_state()
    part = list(kind.of(images[2:4], index[2:4]))
    assert all(torch.equal(one[2:4], other) for one, other in zip(whole, part, strict=True))
    assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"


def test_each_image_and_view_is_augmented_by_numbers_of_its_own() -> None:
    images = images_of(torch.uint8)[:1].expand(16, -1, -1, -1)
    _, one, other = RandAugment(3).of(images, torch.arange(16))
    assert len({image.numpy().tobytes() for image in torch.cat([one, other])}) > 20


def test_a_mirror_image_of_a_mirror_image() -> None:
    images = images_of(torch.uint8)
    _, mirrored = Flip(2).of(images, torch.arange(6))
    assert torch.equal(mirrored, images.flip(-1))


def test_crops_are_shifts_evenly_around_with_a_black_border() -> None:
    images = torch.zeros(1, 1, 9, 9)
    images[..., 4, 4] = 1
    views = torch.cat(list(Crops(5, padding=3).of(images, torch.arange(1))))
    assert views.flatten(1).argmax(1).tolist() == [
        9 * row + column for row, column in ((4, 4), (4, 7), (7, 4), (4, 1), (1, 4))
    ]
    border = torch.ones(1, 1, 9, 9)
    _, right, *_ = Crops(5, padding=3).of(border, torch.arange(1))
    assert (right[..., :3] == 0).all() and (right[..., 3:] == 1).all()


@pytest.mark.parametrize("count", [2, 3, 8, 9, 17])
def test_no_two_crops_are_the_same(count: int) -> None:
    images = images_of(torch.uint8)
    views = list(Crops(count).of(images, torch.arange(6)))
    assert len({view.numpy().tobytes() for view in views}) == count


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Crops(0), "tta.views must be a whole number from 1, got 0"),
        (lambda: Crops(2.0), "tta.views must be a whole number from 1, got 2.0"),  # pyright: ignore
        (lambda: Flip(True), "got True"),
        (lambda: Flip(3), "tta.views must be 2 with tta=flip, .* got 3"),
        (lambda: Crops(5, "median"), "tta.vote must be one of mean, majority, got 'median'"),
        (lambda: Crops(5, force="yes"), "tta.force must be true or false"),  # pyright: ignore
        (lambda: Crops(5, padding=0), "tta.padding must be a whole number from 1, got 0"),
        (lambda: Crops(50), "tta.views=50 is more than there are shifts by 4 pixels"),
        (lambda: RandAugment(5, magnitude=31), "tta.magnitude must be a whole number from 0 to 30"),
        (lambda: RandAugment(5, num_ops=0), "tta.num_ops must be a whole number from 1, got 0"),
    ],
)
def test_what_cannot_be_is_a_sentence(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def test_labels_that_do_not_survive_a_view() -> None:
    Flip(2).check(["flip"], "cifar10")
    RandAugment(2).check([], "digits")
    Flip(2, force=True).check(["crop"], "digits")
    with pytest.raises(ValueError, match="a flip can change .* of digits; .* tta.force=true"):
        Flip(2).check(["crop"], "digits")
    with pytest.raises(ValueError, match="a crop can change"):
        Crops(5).check([], "digits")


@pytest.mark.parametrize("name", ["flip", "crops", "randaugment"])
def test_the_configurations(name: str) -> None:
    cfg = composed("run=x", f"tta={name}", "tta.vote=majority", config="evaluate")
    views = build(cfg.tta)
    assert isinstance(views, Views) and views.vote == "majority" and not views.force
