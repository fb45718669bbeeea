"""kornia's augmentations, given the numbers that our methods drew, return what ours return."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from helpers.same_draw import (
    IMAGES,
    LABELS,
    ONE_HOT,
    ROUNDING,
    ROWS,
    SIZE,
    assert_same,
    draws,
    edges_of,
    shares,
)
from mixlab.data.augmentation import RandomErasing
from mixlab.data.augmentation.erase import inside
from mixlab.mixing import Blend, CutMix, Cutout, Mixup, Ricap

ALL = torch.ones(ROWS)  # kornia's gate, open for each row
KEYS = ["input", "class"]


@pytest.fixture(scope="module")
def kornia() -> Any:
    """The library, imported only where a test runs: it takes seconds."""
    reason = "kornia is not installed: pip install -e '.[oracles]'"
    return pytest.importorskip("kornia.augmentation", reason=reason)


def soft(labels: Tensor, partners_share: Tensor) -> Tensor:
    """(B, C) of kornia's columns: a row's class and its partner's, with the partner's share."""
    own, partner = (torch.nn.functional.one_hot(labels[:, k].long(), ROWS) for k in (0, 1))
    share = partners_share[:, None]
    return own * (1 - share) + partner * share


def cut_by(kornia: Any, blend: Blend, **knobs: bool) -> tuple[Tensor, Tensor]:
    """Images, and labels (B, 3) in kornia's columns."""
    top, bottom, left, right = edges_of(blend).float().unbind(1)
    bottom, right = bottom - 1, right - 1  # kornia's corners lie in the box
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    params = {
        "batch_prob": ALL,
        "mix_pairs": blend.source[None, :, 1],
        "crop_src": torch.stack([torch.stack(each, 1) for each in corners], 1)[None],
        "image_shape": torch.tensor(SIZE),
    }
    images, labels = kornia.RandomCutMixV2(data_keys=KEYS, **knobs)(IMAGES, LABELS, params=params)
    return images, labels[0]


@pytest.mark.parametrize("per_row", [True, False])
def test_mixup(kornia: Any, per_row: bool) -> None:
    """kornia's lambda is the partner's share, in the pixels and in the label."""
    for own, blend in zip(shares(0.4, per_row), draws(Mixup(0.4, per_row)), strict=True):
        share = torch.from_numpy(1 - own).float().expand(ROWS)
        params = {"batch_prob": ALL, "mixup_pairs": blend.source[:, 1], "mixup_lambdas": share}
        images, labels = kornia.RandomMixUpV2(data_keys=KEYS)(IMAGES, LABELS, params=params)
        assert_same((images, soft(labels, labels[:, 2])), blend)


@pytest.mark.parametrize("per_row", [True, False])
def test_cutmix(kornia: Any, per_row: bool) -> None:
    for blend in draws(CutMix(1.0, per_row)):
        images, labels = cut_by(kornia, blend, use_correct_lambda=True)
        assert_same((images, soft(labels, 1 - labels[:, 2])), blend, exact=True)


def test_cutmixs_old_default_calls_the_area_of_the_box_the_rows_own_share(kornia: Any) -> None:
    for blend in draws(CutMix(1.0)):
        with pytest.warns(DeprecationWarning, match="use_correct_lambda=True"):
            images, labels = cut_by(kornia, blend)
        assert torch.equal(images, blend.images(IMAGES))
        torch.testing.assert_close(labels[:, 2], blend.share[:, 1], **ROUNDING)


def test_cutmixs_boxes_lie_inside_and_the_border_cuts_off_none(kornia: Any) -> None:
    """The one difference of the draws: their areas are those of ours before they are clipped."""
    count, size = 4000, (64, 48)
    torch.manual_seed(0)
    params = kornia.RandomCutMixV2(use_correct_lambda=True).forward_parameters((count, 3, *size))
    corners = params["crop_src"][0].numpy()
    sides = corners[:, 2] - corners[:, 0] + 1
    assert corners.min() >= 0 and (corners.max((0, 1)) < size[::-1]).all()
    images = torch.zeros(count, 1, *size)
    fraction, boxes = CutMix(1.0).draw(images, np.random.default_rng(0), count)
    whole = np.floor(fraction[:, None] * size).prod(1)
    assert stats.ks_2samp(sides.prod(1), whole).pvalue > 0.01
    assert stats.ks_2samp(sides.prod(1), boxes.mean()[:, 1] * np.prod(size)).pvalue < 1e-9


def erased(kornia: Any, edges: Tensor) -> Tensor:
    top, bottom, left, right = edges.float().unbind(1)
    params = {"batch_prob": ALL, "xs": left, "ys": top, "values": torch.zeros(ROWS)}
    params |= {"widths": right - left, "heights": bottom - top}
    return kornia.RandomErasing(p=1.0)(IMAGES, params=params)


def test_cutout_and_random_erasing(kornia: Any) -> None:
    rng = np.random.default_rng(0)
    for blend in draws(Cutout(0.6)):
        assert torch.equal(blend.images(IMAGES), erased(kornia, edges_of(blend)))
        edges = torch.from_numpy(RandomErasing().edges(ROWS, np.array(SIZE), rng))
        found = RandomErasing().filled(IMAGES, inside(edges, IMAGES), rng)
        assert torch.equal(found, erased(kornia, edges))


class Given:
    """In place of a generator: RICAP's point, and crops that meet in it as kornia's do."""

    ENDS = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])  # at the far or near side of the picture

    def __init__(self, point: np.ndarray) -> None:
        self.point = point

    def beta(self, *_: float, size: int) -> np.ndarray:
        return (self.point / np.array(SIZE)).T.reshape(size)

    def random(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.broadcast_to(self.ENDS * (1 - 1e-9), shape)


def test_mosaic_is_ricap_whose_crops_are_cut_from_one_canvas(kornia: Any) -> None:
    """kornia lays four pictures out in two by two, the second below the first, and cuts one out."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        columns = np.stack([rng.permutation(ROWS) for _ in range(3)], 1)
        point = rng.integers(0, np.array(SIZE) + 1, (ROWS, 2))
        given: Any = Given(point)
        blend = Ricap(1.0)(IMAGES, ONE_HOT, given, columns)
        top, left = (torch.from_numpy(SIZE[axis] - point[:, axis]).float() for axis in (0, 1))
        height, width = SIZE
        corners = [(0, 0), (0, width - 1), (height - 1, width - 1), (height - 1, 0)]
        source = [torch.stack([left + x, top + y], 1) for y, x in corners]
        rows = np.concatenate([np.arange(ROWS)[:, None], columns], 1)
        params = {
            "batch_prob": ALL,
            "permutation": torch.from_numpy(rows[:, [0, 2, 1, 3]]),
            "src": torch.stack(source, 1),
            "dst": torch.zeros(ROWS, 4, 2),
            "batch_shapes": torch.tensor(IMAGES.shape[1:]).expand(ROWS, 3),
        }
        found = kornia.RandomMosaic(p=1.0)(IMAGES, params=params)
        assert torch.equal(found, blend.images(IMAGES))


def test_jigsaw_moves_blocks_as_a_blend_does(kornia: Any) -> None:
    """Of a row and of its partner; kornia counts the places down each column."""
    size, rng = 4, np.random.default_rng(0)
    images = torch.rand(ROWS, 3, 12, 20)
    for _ in range(10):
        moves = torch.from_numpy(
            np.array([[rng.permutation(size**2) for _ in range(2)] for _ in range(ROWS)])
        )
        source = torch.stack([torch.arange(ROWS), torch.from_numpy(rng.permutation(ROWS))], 1)
        share = torch.rand(ROWS, 1)
        blend = Blend(source, torch.cat([share, 1 - share], 1), moves=moves)
        moved = []
        for k in (0, 1):
            places = moves[:, k].view(ROWS, size, size).transpose(1, 2).flatten(1)
            params = {"batch_prob": ALL, "permutation": places}
            jigsaw = kornia.RandomJigsaw((size, size), p=1.0)
            moved.append(jigsaw(images[source[:, k]], params=params))
        weight = share.view(-1, 1, 1, 1)
        expected = moved[0] * weight + moved[1] * (1 - weight)
        torch.testing.assert_close(blend.images(images), expected, **ROUNDING)
