"""Segmentation masks in pictures: below their images, in the colors that the legend names."""

import numpy as np
import torch
from torch.nn import functional as F

from mixlab.mixing import Batch, Blend, CutMix, Mixup
from mixlab.pictures import mixed_batch
from mixlab.pictures.batch import before_and_after
from mixlab.pictures.tiles import colored, colors, legend

NAMES = ["ground", "disc", "square"]


def batch() -> Batch:
    """Four images of 8 x 8, whose masks are of class 0, 1, 2, 1."""
    masks = torch.tensor([0, 1, 2, 1])[:, None, None].expand(4, 8, 8)
    planes = F.one_hot(masks, 3).movedim(3, 1).float()
    return Batch(torch.rand(4, 3, 8, 8), planes)


def color_at(picture, x: int, y: int) -> torch.Tensor:
    return torch.tensor(picture.getpixel((x, y))) / 255


def test_classes_have_colors_of_their_own():
    found = colors(12)
    apart = torch.cdist(found, found) + torch.eye(12)
    assert found.shape == (12, 3) and apart.min() > 0.1


def test_a_soft_mask_is_the_mixture_of_its_colors():
    planes = batch().targets
    mixed = 0.25 * planes[:1] + 0.75 * planes[1:2]
    expected = 0.25 * colors(3)[0] + 0.75 * colors(3)[1]
    torch.testing.assert_close(colored(mixed)[0, :, 3, 3], expected)


def test_masks_stand_below_their_images():
    before = batch()
    blend = Blend.pair(np.array([1, 2, 3, 0]), torch.tensor([[0.25, 0.75]]))
    after = Batch(*blend.mix(before.images, before.targets))
    picture = mixed_batch(before, after, blend, NAMES, columns=1)
    top = legend(3, NAMES, picture.width).height + 14 + 96 + 4 + 48  # the first masks' middle
    own, partner, mixture = (color_at(picture, 14 + x, top) for x in (48, 148, 252))
    torch.testing.assert_close(own, colors(3)[0], atol=0.01, rtol=0)
    torch.testing.assert_close(partner, colors(3)[1], atol=0.01, rtol=0)
    expected = 0.25 * own + 0.75 * partner
    torch.testing.assert_close(mixture, expected, atol=0.01, rtol=0)


def test_guests_bring_their_masks():
    rows, guests = batch(), Batch(batch().images, batch().targets.flip(0))
    top = legend(3, NAMES, 400).height + 14 + 96 + 4 + 48
    images, planes = (torch.cat(pair) for pair in zip(rows, guests, strict=True))
    for method in (CutMix(1.0), Mixup(1.0)):
        blend = method(images, planes, np.random.default_rng(0), np.array([4, 5, 6, 7]))
        before = Batch(rows.images, rows.targets, guests=guests)
        after = Batch(*blend.mix(images, planes))
        picture = mixed_batch(before, after, blend, NAMES, columns=1)
        assert legend(3, NAMES, picture.width).height == legend(3, NAMES, 400).height
        partner = color_at(picture, 14 + 148, top)  # of row 0, a guest of class 1; row 0 is of 0
        torch.testing.assert_close(partner, colors(3)[1], atol=0.01, rtol=0)


def test_masks_before_and_after():
    one, other = batch(), batch().targets.flip(0)
    plain = before_and_after(one.images, one.images, one.targets)
    with_masks = before_and_after(one.images, one.images, one.targets, NAMES, moved=other)
    assert with_masks.height > plain.height
    top = legend(3, NAMES, with_masks.width).height + 14 + 96 + 4 + 48
    torch.testing.assert_close(color_at(with_masks, 14 + 48, top), colors(3)[0], atol=0.01, rtol=0)
    after = color_at(with_masks, 14 + 96 + 12 + 48, top)
    torch.testing.assert_close(after, colors(3)[1], atol=0.01, rtol=0)
