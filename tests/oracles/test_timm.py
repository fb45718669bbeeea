"""`timm.data.Mixup`, given the numbers that our methods drew, returns what ours return."""

import numpy as np
import pytest
import timm.data.mixup as theirs
import torch
from torch import Tensor

from helpers.same_draw import (
    IMAGES,
    LABELS,
    ONE_HOT,
    ROWS,
    SEEDS,
    SIZE,
    assert_same,
    draws,
    edges_of,
    shares,
)
from mixlab.mixing import Address, CutMix, Mixup
from mixlab.mixing.boxes import boxes_around
from mixlab.mixing.methods.published import PublishedCutMix
from mixlab.timm import Mixup as OurTimm
from mixlab.timm import centered_boxes


def fed(
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    own: np.ndarray,
    edges: Tensor | None = None,
    cut: Tensor | None = None,
    correct_lam: bool = True,
) -> tuple[Tensor, Tensor]:
    """The batch through timm with own shares (n,), and boxes (n, 4) for the rows that it cuts.

    n is 1 for a `batch`, half the rows for a `pair`, else the rows. With boxes it cuts all of them,
    or those of bool (n,) `cut`. What a box leaves of a row, timm computes.
    """
    given_shares = own.astype(np.float32)
    is_cut = np.full(len(own), edges is not None) if cut is None else cut.numpy()
    boxes = [] if edges is None else edges.tolist()
    used = is_cut & (given_shares != 1)  # of the others timm asks for no box
    given = iter([box for row, box in enumerate(boxes) if used[row]])
    fn = theirs.Mixup(mode=mode, label_smoothing=0.0, num_classes=ROWS, correct_lam=correct_lam)
    monkeypatch.setattr(fn, "_params_per_batch", lambda: (float(given_shares[0]), bool(is_cut[0])))
    monkeypatch.setattr(fn, "_params_per_elem", lambda _: (given_shares, is_cut))
    monkeypatch.setattr(theirs, "rand_bbox", lambda *_, **__: next(given))
    return fn(IMAGES.clone(), LABELS)


@pytest.mark.parametrize("mode", ["elem", "batch"])
def test_mixup(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    per_row = mode == "elem"
    blends = draws(Mixup(0.4, per_row), "reverse")
    for own, blend in zip(shares(0.4, per_row), blends, strict=True):
        assert_same(fed(monkeypatch, mode, own), blend)


@pytest.mark.parametrize("mode", ["elem", "batch"])
def test_cutmix(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    per_row = mode == "elem"
    blends = draws(CutMix(1.0, per_row), "reverse")
    for own, blend in zip(shares(1.0, per_row), blends, strict=True):
        edges = edges_of(blend)[: len(blend.share)]
        assert_same(fed(monkeypatch, mode, own, edges), blend, exact=True)


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_ours_in_its_place(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mixlab.timm.Mixup`: rows that are averaged, rows that are cut, and neither."""
    ours = OurTimm(0.8, 1.0, prob=0.8, mode=mode, label_smoothing=0.0, num_classes=ROWS)
    num_draws = {"batch": 1, "pair": ROWS // 2, "elem": ROWS}[mode]
    for seed in SEEDS:
        blend = ours.draw(IMAGES, Address(seed))
        edges = edges_of(blend)[:num_draws]
        cut = (edges[:, 1::2] > edges[:, ::2]).all(1)
        own = torch.where(cut, 0.5, blend.share[:num_draws, 0]).numpy()
        assert_same(fed(monkeypatch, mode, own, edges, cut), blend)


@pytest.mark.parametrize("size", [(32, 32), (13, 10)])
def test_the_box_around_the_same_pixel_has_an_odd_side_where_cutmixs_is_even(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one difference is a line of pixels at the bottom or right, before the border cuts."""
    rng, sides = np.random.default_rng(0), np.array(size)
    odd = 0
    for own in rng.random(200):
        center = rng.integers(0, size)
        given = iter(center)
        monkeypatch.setattr(np.random, "randint", lambda *_, given=given, **__: next(given))
        box = np.array(theirs.rand_bbox((1, *size), own))
        monkeypatch.undo()
        cut = np.sqrt(1 - own) * sides
        ours = boxes_around(center[None], cut[None], sides).numpy()[0]
        more = np.array([0, 1, 0, 1]) * (np.repeat(cut.astype(int), 2) % 2)
        expected = np.minimum(ours + more, np.repeat(sides, 2))
        inside = ours[1::2] < sides  # what the border cut off is not extended
        assert (box[0::2] == ours[0::2]).all()
        assert (box[1::2][inside] == expected[1::2][inside]).all()
        assert (box[1::2][~inside] == sides[~inside]).all()
        odd += int((box != ours).any())
    assert odd > 50


@pytest.mark.parametrize("size", [(32, 32), (13, 10)])
def test_the_box_of_ours_in_its_place_is_timms(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides, own = np.array(size), np.random.default_rng(1).random(200)
    ours = centered_boxes(own, sides, np.random.default_rng(0))
    centers = np.random.default_rng(0).integers(0, sides, (200, 2))
    for center, lam, expected in zip(centers, own, ours, strict=True):
        given = iter(center)
        monkeypatch.setattr(np.random, "randint", lambda *_, given=given, **__: next(given))
        box = theirs.rand_bbox((1, *size), lam)
        monkeypatch.undo()
        assert [int(edge) for edge in box] == expected.tolist()


def test_a_label_that_is_not_corrected_has_the_drawn_share_whatever_the_border_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`correct_lam=False` there is `clipped_label=False` here; only the labels differ from ours."""
    found = draws(PublishedCutMix(1.0, clipped_label=False), "reverse")
    usual = draws(CutMix(1.0), "reverse")
    for own, blend, clipped in zip(shares(1.0), found, usual, strict=True):
        edges = edges_of(blend)
        images, labels = fed(monkeypatch, "elem", own, edges, correct_lam=False)
        assert_same((images, labels), blend, exact=True)
        assert torch.equal(images, clipped.images(IMAGES))
        pasted = (edges[:, 1::2] - edges[:, ::2]).prod(1).numpy() / np.prod(SIZE)
        difference = (clipped.targets(ONE_HOT) - labels).diagonal().numpy()
        np.testing.assert_allclose(difference, (1 - own) - pasted, rtol=0, atol=1e-6)
        assert difference.max() > 0.01
