"""Tables, signals, clouds and embeddings each have a look; what is drawn is what is there."""

import numpy as np
import pytest
import torch
from PIL import Image

from mixlab.data import DataSpec, ImageSpec
from mixlab.mixing import Mixup, PointMixup, SignalCutMix
from mixlab.mixing.blend import Blend
from mixlab.pictures.bars import MOST_BARS, STUB, TableBars, bars
from mixlab.pictures.dots import CloudDots, places_on, seen_from_the_side
from mixlab.pictures.grid import TokenGrid, grid_size
from mixlab.pictures.lines import SignalLines
from mixlab.pictures.looks import Look, look_of
from mixlab.pictures.parts import INKS, parts_of, unmixed
from mixlab.pictures.tiles import FRAME_ROOM, tiles

NAMES = ("a", "b")
OWN, PARTNER = ((INKS[k] * 255).round().int().tolist() for k in (0, 1))
RULE = [0xD5, 0xD9, 0xDE]
LOOKS = {
    "table": (DataSpec((13,), NAMES), TableBars(13)),
    "signal": (DataSpec((2, 40), NAMES), SignalLines(2)),
    "cloud": (DataSpec((3, 40), NAMES, is_cloud=True), CloudDots(3, 40)),
    "flat cloud": (DataSpec((2, 40), NAMES, is_cloud=True), CloudDots(2, 40)),
    "tokens": (DataSpec((6, 16), NAMES, -1), TokenGrid(6, 16)),
    "points on a line": (DataSpec((1, 40), NAMES, is_cloud=True), SignalLines(1)),
    "image": (ImageSpec(1, 8, 8, NAMES), None),
    "video": (DataSpec((3, 4, 8, 8), NAMES), None),
}
PAIR = np.array([[1], [0]])


@pytest.mark.parametrize("name", LOOKS)
def test_the_shape_and_the_source_decide(name: str) -> None:
    spec, look = LOOKS[name]
    assert look_of(spec) == look


def mixture(method, rows: torch.Tensor) -> tuple[Blend, torch.Tensor]:
    blend = method(rows, torch.eye(2), np.random.default_rng(3), PAIR)
    return blend, blend.images(rows)


def pixels(tile: Image.Image) -> np.ndarray:
    return np.asarray(tile).astype(int)


def count(page: np.ndarray, color: list[int]) -> int:
    return int((page == color).all(2).sum())


def near(page: np.ndarray, color: list[int]) -> np.ndarray:
    """Where smoothed edges have a color or nearly so."""
    return np.abs(page - color).max(2) < 40


@pytest.mark.parametrize("name", ["table", "signal", "cloud", "flat cloud", "tokens"])
@pytest.mark.parametrize("side", [96, 160, 300])
def test_a_tile_is_as_wide_as_it_should_be(name: str, side: int) -> None:
    spec, look = LOOKS[name]
    rows = torch.randn(4, *spec.shape)
    found = tiles(rows, look=look, side=side)
    assert len(found) == 4 and len({tile.size for tile in found}) == 1
    assert 0.75 * side <= found[0].width - 2 * FRAME_ROOM <= side
    assert 20 <= found[0].height <= side + 2 * FRAME_ROOM


@pytest.mark.parametrize("name", ["table", "signal", "cloud", "flat cloud", "tokens"])
@pytest.mark.parametrize("value", [0.0, 7.0, float("nan")])
def test_rows_without_a_range_have_a_picture(name: str, value: float) -> None:
    spec, look = LOOKS[name]
    one, other = tiles(torch.full((2, *spec.shape), value), look=look)
    assert min(one.size) >= 20 and np.array_equal(np.asarray(one), np.asarray(other))


def test_bars_have_the_heights_of_their_parts() -> None:
    total = torch.tensor([1.0, 0.5, 0.0])
    made = torch.tensor([[0.25, 0.5, 0.0], [0.75, 0.0, 0.0]])
    page = pixels(bars(total, made, [0, 1], 90))
    room = len(page) - STUB
    for feature, (own, partner) in enumerate(made.T.tolist()):
        column = page[:, feature * 30 + 10]
        assert abs((column == OWN).all(1).sum() - STUB - own * room) <= 1
        assert abs((column == PARTNER).all(1).sum() - partner * room) <= 1
        assert (page[:, feature * 30 + 29] == 255).all(), "a gap"
    assert (page[-1, 10] == OWN).all(), "the row's part is below"


def test_the_height_is_that_of_the_mixture_even_if_parts_are_more() -> None:
    page = pixels(bars(torch.tensor([0.5]), torch.tensor([[0.7], [0.2]]), [0, 1], 60))
    assert count(page, PARTNER) == 0
    assert count(page, OWN) == pytest.approx(59 * (STUB + 0.5 * (30 - STUB)), abs=60)


def test_bars_show_the_range_of_the_batch_and_the_first_features() -> None:
    batch = torch.stack([torch.zeros(100), torch.full((100,), 4.0), torch.full((100,), 1.0)])
    (tile,) = tiles(batch[2:], batch, look=TableBars(100), side=192)
    shown = pixels(tile)[FRAME_ROOM:-FRAME_ROOM, FRAME_ROOM:-FRAME_ROOM]
    assert shown.shape[1] == 3 * MOST_BARS
    filled = (shown == OWN).all(2).mean()
    assert filled == pytest.approx((STUB + 0.25 * (96 - STUB)) / 96, abs=0.02)


def test_a_span_of_a_signal_is_shaded_where_it_is_the_partners() -> None:
    rows = torch.randn(2, 2, 48)
    blend, mixed = mixture(SignalCutMix(1.0), rows)
    _, _, left, right = blend.mask.edges[0].tolist()  # pyright: ignore
    assert 3 < right - left < 45
    (tile,) = tiles(mixed[:1], rows, look=SignalLines(2), parts=parts_of(blend, rows, mixed[:1]))
    page = pixels(tile)[FRAME_ROOM:-FRAME_ROOM, FRAME_ROOM:-FRAME_ROOM]
    shaded = (page[0] != 255).any(1)  # above the line
    assert np.flatnonzero(shaded).tolist() == list(range(2 * left, 2 * right))
    orange, blue = near(page, PARTNER), near(page, OWN)
    assert orange[:, 2 * left + 2 : 2 * right - 2].sum() > 20
    assert not blue[:, 2 * left + 2 : 2 * right - 2].any()
    assert not orange[:, : max(0, 2 * left - 2)].any() and blue.sum() > 20


def test_an_unmixed_signal_is_not_shaded_and_the_shade_is_as_deep_as_the_share() -> None:
    rows, look = torch.zeros(2, 1, 48), SignalLines(1)
    plain = [tiles(rows[:1], rows, look=look, parts=unmixed(rows[:1], [ink])) for ink in (0, 1)]
    grounds = [pixels(tile)[FRAME_ROOM + 2, 50] for (tile,) in plain]
    for share in (0.2, 0.8):
        blend = Blend.pair(PAIR[:, 0], torch.tensor([[1 - share, share]]))
        made = parts_of(blend, rows, blend.images(rows))
        grounds.append(pixels(tiles(rows[:1], rows, look=look, parts=made[:1])[0])[8, 50])
    assert (grounds[0] == 255).all() and (grounds[1] == 255).all()
    blues = [255 - int(ground[2]) for ground in grounds[2:]]
    assert blues[1] == pytest.approx(4 * blues[0], abs=3) and blues[0] > 8


def test_lines_go_up_where_values_do() -> None:
    rising = torch.linspace(-1, 1, 48).view(1, 1, 48)
    (tile,) = tiles(rising, look=SignalLines(1), side=96)
    darkest = pixels(tile)[: -FRAME_ROOM - 1].sum(2).argmin(0)  # without the rule below
    places = [darkest[column] for column in (10, 50, 90)]
    assert places[0] > places[1] > places[2]


def test_dots_lie_where_the_points_do() -> None:
    cloud = torch.tensor([[[0.0, 0.0, -1.0, 1.0], [0.0, 1.0, 0.0, -1.0]]])  # x, then y
    places = places_on(100, cloud)(cloud[0])
    middle, above, left, below_right = places
    assert middle == pytest.approx([50, 50]) and above[0] == pytest.approx(50)
    assert above[1] < 10 and left[0] < 10 and left[1] == pytest.approx(50)
    assert below_right[0] > 90 and below_right[1] > 90
    (tile,) = tiles(cloud, look=CloudDots(2, 4), side=100)
    assert near(pixels(tile), OWN)[FRAME_ROOM + 50, FRAME_ROOM + 50]


def test_the_third_axis_leads_upward() -> None:
    up = torch.tensor([[[0.0], [0.0], [1.0]]])
    across, above = seen_from_the_side(up)[0, :, 0].tolist()
    assert across == 0 and above > 0.9
    behind = torch.tensor([[[0.0], [1.0], [0.0]]])
    assert 0 < seen_from_the_side(behind)[0, 1, 0] < 0.5, "from a little above"


def test_lines_join_points_that_are_mixed_and_no_others() -> None:
    torch.manual_seed(0)
    rows = torch.randn(2, 3, 20)
    drawn = {}
    for method in (Mixup(5.0), PointMixup(5.0), SignalCutMix(1.0)):
        blend, mixed = mixture(method, rows)
        made = parts_of(blend, rows, mixed[:1])
        (tile,) = tiles(mixed[:1], rows, look=CloudDots(3, 20), parts=made)
        drawn[type(method).__name__] = int(near(pixels(tile), RULE).sum())
        if isinstance(method, SignalCutMix):
            assert near(pixels(tile), OWN).any() and near(pixels(tile), PARTNER).any()
    assert drawn["Mixup"] > 1.3 * drawn["PointMixup"], "the points are matched"
    assert drawn["PointMixup"] > 3 * drawn["SignalCutMix"]


def test_squares_are_the_darker_the_larger_and_of_both_colors() -> None:
    rows = torch.zeros(2, 2, 4)
    rows[0, 0, 0], rows[1, 1, 3] = 1, 1
    blend = Blend.pair(PAIR[:, 0], torch.tensor([[0.5, 0.5]]))
    mixed = blend.images(rows)
    look = TokenGrid(2, 4)
    (tile,) = tiles(mixed[:1], rows, look=look, parts=parts_of(blend, rows, mixed[:1]), side=80)
    page = pixels(tile)[FRAME_ROOM:-FRAME_ROOM, FRAME_ROOM:-FRAME_ROOM]
    assert page.shape == (40, 80, 3)
    half_own, half_partner = (((1 + INKS[k]) / 2 * 255).round().int().tolist() for k in (0, 1))
    assert np.abs(page[10, 10] - half_own).max() <= 1
    assert np.abs(page[30, 70] - half_partner).max() <= 1
    assert (page[10, 30] == 255).all()


@pytest.mark.parametrize(
    ("shape", "size"),
    [((8, 16), (112, 56)), ((2, 32), (96, 30)), ((1, 1), (124, 124)), ((16, 2), (30, 112))],
)
def test_grids_are_neither_too_low_nor_too_narrow(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    assert grid_size(shape, 124) == size


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (TableBars(64), "a bar for each feature, from its smallest"),
        (TableBars(768), "a bar for each feature, the first 64 of 768, from its smallest"),
        (SignalLines(6), "a line for each channel: blue from the row, orange from its partner"),
        (SignalLines(12), "a line for each channel, the first 6 of 12: blue"),
        (TokenGrid(16, 32), "a line for each token, darker"),
        (TokenGrid(197, 20), "a line for each token, 16 x 20 of 197 x 20, darker"),
        (CloudDots(2, 64), "points: blue from the row, orange from its partner"),
        (CloudDots(3, 65), "two that are mixed, for the first 64"),
        (CloudDots(6, 9), "points seen from the side by the first 3 of 6 coordinates: blue"),
    ],
)
def test_notes_say_what_is_seen_and_what_is_left_out(look: Look, words: str) -> None:
    assert words in look.note


def test_nothing_is_left_out_unsaid() -> None:
    for look in (TableBars(64), SignalLines(6), TokenGrid(16, 32), CloudDots(3, 64)):
        assert "first" not in look.note and " of " not in look.note.split(":")[0]
