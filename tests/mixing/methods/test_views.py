"""ResizeMix, CutThumbnail, RICAP, Mosaic and StackMix: whole pictures resized, or parts of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from mixlab.mixing import (
    Blend,
    Boxes,
    CutThumbnail,
    Method,
    Mosaic,
    ResizeMix,
    Ricap,
    StackMix,
    views,
)
from mixlab.mixing.masks import OWN_OF_TWO
from mixlab.mixing.tiles import Tiles
from mixlab.mixing.views import moved_by, with_own

SIZES = [(12, 12), (20, 14), (70, 80)]  # the last one is large enough to be pasted part by part


def _drawn(method: Method, images: Tensor, seed: int = 4) -> Blend:
    partners = np.stack([np.roll(np.arange(len(images)), k) for k in (1, 2, 3)], 1)
    return method(images, torch.eye(len(images)), np.random.default_rng(seed), partners)


def _resized(picture: Tensor, edges: list[int]) -> Tensor:
    top, bottom, left, right = edges
    size = (bottom - top, right - left)
    return F.interpolate(picture[None], size=size, mode="bilinear", align_corners=False)[0]


def _box_edges(blend: Blend) -> np.ndarray:
    assert isinstance(blend.mask, Boxes)
    return blend.mask.edges.numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", [ResizeMix(), CutThumbnail(0.4), CutThumbnail(0.4, True)])
def test_the_whole_picture_is_in_the_box_and_nothing_changes_outside(
    method: Method, size: tuple[int, int]
) -> None:
    images = torch.rand(9, 3, *size)
    blend = _drawn(method, images)
    mixed, expected = blend.images(images), images.clone()
    for row, (edges, shown) in enumerate(
        zip(_box_edges(blend).tolist(), blend.source[:, 1], strict=True)
    ):
        top, bottom, left, right = edges
        assert shown == (row if getattr(method, "of_itself", False) else (row - 1) % 9)
        expected[row, :, top:bottom, left:right] = _resized(images[shown], edges)
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-4)
    untouched = blend.mask.paint()[:, :1].expand_as(images) == 1  # pyright: ignore
    assert torch.equal(mixed[untouched], images[untouched])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40)])
def test_resizemixs_area_is_the_scale_squared(height: int, width: int) -> None:
    images = torch.zeros(3000, 1, 1, 1).expand(-1, -1, height, width)
    blend = _drawn(ResizeMix(), images)
    scale = np.random.default_rng(4).uniform(0.1, 0.8, size=3000)
    area = np.rint(scale * height) * np.rint(scale * width)
    np.testing.assert_allclose(blend.share[:, 1] * height * width, area, rtol=1e-5)
    expected = (0.8**3 - 0.1**3) / (3 * 0.7)  # 0.243
    assert abs(float(blend.share[:, 1].mean()) - expected) < 0.012
    top, bottom, left, right = _box_edges(blend).T
    assert top.min() == 0 and left.min() == 0 and bottom.max() == height and right.max() == width


def test_every_place_of_a_thumbnail_is_as_likely() -> None:
    images = torch.zeros(5000, 1, 1, 1).expand(-1, -1, 10, 12)
    top, bottom, left, right = _box_edges(_drawn(CutThumbnail(0.5), images)).T
    assert set(bottom - top) == {5} and set(right - left) == {6}
    assert stats.chisquare(np.bincount(top, minlength=6)).pvalue > 0.01
    assert stats.chisquare(np.bincount(left, minlength=7)).pvalue > 0.01


def test_a_thumbnail_of_itself_keeps_the_label_and_changes_the_picture() -> None:
    images, targets = torch.rand(9, 3, 12, 12), torch.eye(9)
    mixed, labels = _drawn(CutThumbnail(0.5, of_itself=True), images).mix(images, targets)
    assert torch.equal(labels, targets)
    assert (mixed != images).flatten(1).any(1).all()


def _tiles(blend: Blend) -> np.ndarray:
    assert isinstance(blend.mask, Tiles)
    edges = blend.mask.edges.expand(blend.num_rows, -1, -1).numpy()
    assert not edges[:, 0].any()  # nothing is seen of the row as it is
    return edges[:, 1:]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", [Mosaic(), StackMix(), StackMix(True), Mosaic(per_row=False)])
def test_each_tile_is_a_whole_picture(method: Method, size: tuple[int, int]) -> None:
    images = torch.rand(9, 3, *size)
    blend = _drawn(method, images)
    mixed, covered = blend.images(images), torch.zeros(9, *size)
    for row, tiles in enumerate(_tiles(blend).tolist()):
        sources = blend.source[row].tolist()
        assert sources == [row, *((row - k) % 9 for k in range(len(tiles)))], "itself, partners"
        for edges, shown in zip(tiles, sources[1:], strict=True):
            top, bottom, left, right = edges
            part = mixed[row, :, top:bottom, left:right]
            expected = _resized(images[shown], edges)
            torch.testing.assert_close(part, expected, rtol=0, atol=1e-4)
            covered[row, top:bottom, left:right] += 1
    assert (covered == 1).all()


def test_a_half_that_two_rows_show_is_resized_once(monkeypatch: pytest.MonkeyPatch) -> None:
    resized, sizes = views.resized, []

    def noted(lines: Tensor, height: int, size: tuple[int, int]) -> Tensor:
        sizes.append(size)
        return resized(lines, height, size)

    monkeypatch.setattr(views, "resized", noted)
    images = torch.rand(6, 3, 64, 64)  # each is a row's upper half and another's lower one
    _drawn(StackMix(), images).images(images)
    assert sizes == [(32, 64)] * 6


def test_halves_are_halves_and_quadrants_meet_at_a_uniform_point() -> None:
    images = torch.zeros(2000, 1, 1, 1).expand(-1, -1, 1000, 600)
    for halves in (StackMix(), StackMix(side_by_side=True)):
        blend = _drawn(halves, images)
        assert torch.equal(blend.share, torch.tensor([[0.0, 0.5, 0.5]]))
        second = [0, 1000, 300, 600] if halves.side_by_side else [500, 1000, 0, 600]
        assert _tiles(blend)[0, 1].tolist() == second
    top_left = _tiles(_drawn(Mosaic((0.2, 0.6)), images))[:, 0]
    for side, edge in ((1000, top_left[:, 1]), (600, top_left[:, 3])):
        assert edge.min() >= 0.2 * side and edge.max() <= 0.6 * side
        assert stats.kstest(edge / side, stats.uniform(0.2, 0.4).cdf).pvalue > 0.01


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("per_row", [True, False])
def test_ricaps_quadrants_are_crops_and_its_label_their_areas(
    size: tuple[int, int], per_row: bool
) -> None:
    """Each pixel says which row it is from and where it was."""
    height, width = size
    images = torch.zeros(9, 3, *size, dtype=torch.float64)
    images[:, 0] = torch.arange(9.0)[:, None, None]
    images[:, 1] = torch.arange(float(height))[:, None]
    images[:, 2] = torch.arange(float(width))
    mixed, labels = _drawn(Ricap(0.8, per_row), images).mix(images, torch.eye(9))
    origin = mixed.round().long()
    torch.testing.assert_close(mixed, origin.double(), rtol=0, atol=1e-3)
    down = origin[:, 1] - torch.arange(height)[:, None]
    along = origin[:, 2] - torch.arange(width)
    for row in range(9):
        for number, shift in ((row, 0), *(((row - k) % 9, k) for k in (1, 2, 3))):
            quadrant = origin[row, 0] == number
            assert quadrant.any() or shift or labels[row, number] == 0
            assert quadrant.double().mean() == pytest.approx(float(labels[row, number]), abs=1e-6)
            assert len(set(down[row][quadrant].tolist())) <= 1
            assert len(set(along[row][quadrant].tolist())) <= 1


def test_ricaps_point_is_beta_and_its_crops_are_anywhere() -> None:
    images = torch.zeros(3000, 1, 1, 1).expand(-1, -1, 400, 300)
    blend = _drawn(Ricap(0.8), images)
    corner = _tiles(blend)[:, 0, [1, 3]] / [400, 300]
    for axis in (0, 1):
        assert stats.kstest(corner[:, axis], stats.beta(0.8, 0.8).cdf).statistic < 0.04
    assert abs(np.corrcoef(corner.T)[0, 1]) < 0.08
    shift = blend.warp[:, 1, 1, 2].numpy() * 400 / 2  # pyright: ignore  # of the top left
    place = shift / (400 - 400 * corner[:, 0]).clip(1)
    assert stats.kstest(place[corner[:, 0] < 0.9], "uniform").statistic < 0.04


def test_every_crop_of_a_ricap_is_as_likely() -> None:
    """Of a crop with one line less than the picture there are two, and both show a border."""
    images = torch.zeros(4000, 1, 1, 1).expand(-1, -1, 5, 5)
    blend = _drawn(Ricap(1.0), images)
    room = 5 - _tiles(blend)[:, 0, 1]
    start = (blend.warp[:, 1, 1, 2].numpy() * 5 / 2).round()  # pyright: ignore
    for lines in (1, 2, 3):
        counts = np.bincount(start[room == lines].astype(int), minlength=lines + 1)
        assert len(counts) == lines + 1 and stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("method", [ResizeMix(), Mosaic()])
@pytest.mark.parametrize("size", [(20, 150), (20, 300), (70, 80)])
def test_16_bits_place_views_as_exactly_as_32(method: Method, size: tuple[int, int]) -> None:
    images = torch.rand(6, 3, *size).bfloat16()
    blend = _drawn(method, images)
    exact = blend.images(images.float())
    torch.testing.assert_close(blend.images(images).float(), exact, rtol=0, atol=5e-3)


@pytest.mark.parametrize("method", [ResizeMix(), Mosaic(), Ricap(0.5)])
@pytest.mark.parametrize("size", [(10, 12), (70, 80)])
def test_every_frame_of_a_video_is_seen_alike(method: Method, size: tuple[int, int]) -> None:
    videos = torch.rand(6, 3, 4, *size)
    blend = _drawn(method, videos)
    mixed = blend.images(videos)
    for frame in range(4):
        expected = blend.images(videos[:, :, frame].contiguous())
        torch.testing.assert_close(mixed[:, :, frame], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(12, 12), (3, 40)])
def test_the_smallest_box_has_a_pixel(size: tuple[int, int]) -> None:
    top, bottom, left, right = _box_edges(
        _drawn(ResizeMix((0.01, 0.05)), torch.rand(99, 1, *size))
    ).T
    assert set(bottom - top) == {1} and (right - left).min() == 1


@pytest.mark.parametrize("shift", [(-3, -5), (-3, 6), (4, -5), (4, 6)])
def test_what_is_moved_in_from_beyond_a_picture_is_its_border(shift: tuple[int, int]) -> None:
    height, width = 70, 80
    images = torch.rand(2, 3, height, width)
    whole = Boxes(torch.tensor([[0, height, 0, width]]), OWN_OF_TWO, height, width)
    warp = with_own(moved_by(np.array([[shift], [shift]]), height, width))
    mixed = replace(Blend.pair(np.array([1, 0]), whole), warp=warp).images(images)
    y = (torch.arange(height) + shift[0]).clamp(0, height - 1)
    x = (torch.arange(width) + shift[1]).clamp(0, width - 1)
    expected = images.flip(0)[:, :, y[:, None], x]
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-4)
