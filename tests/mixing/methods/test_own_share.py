"""What is drawn as the row's own share is what the row keeps, in its label and in its picture."""

import numpy as np
import pytest
import torch

from helpers.mixing_cases import labeled_pictures, mean_pixel
from mixlab.mixing import (
    Concat,
    CutMix,
    FMix,
    GMix,
    GridMix,
    HMix,
    Method,
    Mixup,
    PatchMix,
    PointMixup,
    Random2x2,
    SaliencyMix,
    SignalCutMix,
)
from mixlab.mixing.methods import AlignMix, SoftPatchUp, TokenMix
from mixlab.mixing.methods.published import PublishedCutMix

ROWS, SIZE = 64, (16, 20)
PARTNERS = np.roll(np.arange(ROWS), 1)
ALPHA = 1e-3  # shares of nearly all or nearly nothing


@pytest.mark.parametrize(
    "method",
    [Mixup(ALPHA), PointMixup(ALPHA), HMix(ALPHA), HMix(ALPHA, 1), FMix(ALPHA), GMix(ALPHA),
     GridMix(ALPHA), PatchMix(ALPHA), TokenMix(ALPHA, 4), Random2x2(ALPHA), Concat(ALPHA),
     Concat(ALPHA, side_by_side=True), AlignMix(ALPHA), SoftPatchUp(1.0, alpha=ALPHA),
     CutMix(ALPHA), PublishedCutMix(ALPHA), SaliencyMix(ALPHA), SignalCutMix(ALPHA)],
    ids=lambda method: type(method).__name__,
)  # fmt: skip
def test_a_row_that_keeps_all_stays_and_one_that_keeps_nothing_is_its_partner(
    method: Method,
) -> None:
    """But for boxes around a pixel near the border, of which a quarter is left at least."""
    size = SIZE[1:] if isinstance(method, PointMixup) else SIZE
    images, targets = labeled_pictures(ROWS, size)
    own = np.random.default_rng(2).beta(ALPHA, ALPHA, size=ROWS)
    mixed, labels = method(images, targets, np.random.default_rng(2), PARTNERS).mix(images, targets)
    torch.testing.assert_close(mean_pixel(mixed), labels.double(), rtol=0, atol=1e-5)
    torch.testing.assert_close(labels.sum(1), torch.ones(ROWS))
    label = labels.diagonal().numpy()
    all_of_it, nothing = own > 1 - 1e-6, own < 1e-6
    assert all_of_it.sum() > 20 and nothing.sum() > 20
    spot = 1.1 / np.prod(SIZE) if isinstance(method, GMix) else 1e-5
    is_clipped = isinstance(method, CutMix | SaliencyMix | SignalCutMix)
    assert label[all_of_it].min() > 1 - spot
    assert label[nothing].max() < (0.8 if is_clipped else spot)
    others = torch.eye(ROWS)[PARTNERS] + torch.eye(ROWS)
    assert not labels[others == 0].any(), "of the row and its partner alone"


@pytest.mark.parametrize(
    ("method", "pixels"),
    [(Concat(1.0), 16), (Concat(1.0, side_by_side=True), 20), (FMix(1.0), 320),
     (PatchMix(1.0), 20), (TokenMix(1.0, 4), 16), (HMix(1.0), 1e5), (Mixup(1.0), 1e5)],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_the_label_is_the_drawn_share_as_nearly_as_pixels_allow(
    method: Method, pixels: float
) -> None:
    images, targets = labeled_pictures(ROWS, SIZE)
    own = np.random.default_rng(2).beta(1.0, 1.0, size=ROWS)
    blend = method(images, targets, np.random.default_rng(2), PARTNERS)
    assert abs(blend.share[:, 0].numpy() - own).max() < 0.5 / pixels + 1e-6
