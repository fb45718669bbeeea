"""The picture of a mixed batch shows the true pixels and the true labels."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mixlab.data import DataSpec
from mixlab.mixing import Batch, Blend, Guests, Mixup, Sequence
from mixlab.pictures import describe_label, mixed_batch
from mixlab.pictures.batch import origin_line, partners_of, shares_of, words
from mixlab.pictures.captions import ACCENT, FAINT
from mixlab.pictures.looks import look_of
from mixlab.pictures.sheet import remark
from mixlab.pictures.shown_rows import NONE_MIXED, rows_note

NAMES = ["cat", "dog", "ship"]


def make_mixture(num_rows=6, channels=3, size=8, num_guests=0, seed=0):
    """A mixup of constant images: row r has the value (r + 1) / 10 at every pixel."""
    rng = np.random.default_rng(seed)
    total = num_rows + num_guests
    levels = torch.arange(1, total + 1).float().div(total + 1)
    pool = levels.view(-1, 1, 1, 1).expand(-1, channels, size, size).clone()
    targets = torch.eye(3)[torch.arange(total) % 3]
    partner = torch.from_numpy(rng.permutation(total)[:num_rows])
    own = torch.full((num_rows,), 0.75)
    share = torch.stack([own, 1 - own], dim=1)
    source = torch.stack([torch.arange(num_rows), partner], dim=1)
    guests = SimpleNamespace(images=pool[num_rows:], targets=targets[num_rows:])
    before = SimpleNamespace(
        images=pool[:num_rows], targets=targets[:num_rows], guests=guests if num_guests else None
    )
    after = SimpleNamespace(
        images=0.75 * pool[:num_rows] + 0.25 * pool[partner],
        targets=0.75 * targets[:num_rows] + 0.25 * targets[partner],
    )
    return before, after, Blend(source, share)


def level_at(picture: Image.Image, x: int, y: int) -> float:
    pixel = picture.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return pixel[0] / 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("num_guests", [0, 5])
def test_tiles_are_the_row_its_partner_and_the_mixture(channels, num_guests):
    before, after, blend = make_mixture(channels=channels, num_guests=num_guests)
    picture = mixed_batch(before, after, blend, NAMES, columns=1)
    pool = before.images if not num_guests else torch.cat([before.images, before.guests.images])
    cell_height = 96 + 36 + 14
    for row in range(6):
        y = 14 + row * cell_height + 48
        partner = int(blend.source[row, 1])
        assert level_at(picture, 14 + 48, y) == pytest.approx(float(pool[row].mean()), abs=0.01)
        if partner != row:
            expected = float(pool[partner].mean())
            assert level_at(picture, 14 + 148, y) == pytest.approx(expected, abs=0.01)
        expected = float(after.images[row].mean())
        assert level_at(picture, 14 + 252, y) == pytest.approx(expected, abs=0.01)


def test_normalized_images_are_brought_back():
    before, after, blend = make_mixture()
    plain = mixed_batch(before, after, blend, NAMES)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    shift, scale = (torch.tensor(v).view(-1, 1, 1) for v in (mean, std))
    before.images = (before.images - shift) / scale
    after.images = (after.images - shift) / scale
    restored = mixed_batch(before, after, blend, NAMES, mean=mean, std=std)
    difference = np.asarray(plain, dtype=int) - np.asarray(restored, dtype=int)
    assert np.abs(difference).max() <= 1
    stretched = np.asarray(mixed_batch(before, after, blend, NAMES))
    assert stretched.min() < 30 and stretched.shape == np.asarray(plain).shape


def test_inputs_are_not_written_to():
    before, after, blend = make_mixture()
    kept = before.images.clone(), after.images.clone(), blend.source.clone()
    mixed_batch(before, after, blend, NAMES, mean=[0.5] * 3, std=[0.1] * 3)
    assert torch.equal(before.images, kept[0])
    assert torch.equal(after.images, kept[1])
    assert torch.equal(blend.source, kept[2])


@pytest.mark.parametrize("size", [8, 28, 32, 64, 224])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_any_size_and_precision(size, dtype):
    before, after, blend = make_mixture(size=size)
    before.images, after.images = before.images.to(dtype), after.images.to(dtype)
    picture = mixed_batch(before, after, blend, NAMES)
    assert picture.width <= 1300


def test_one_row_of_one_source_and_a_shared_share():
    before, after, _ = make_mixture(num_rows=1)
    assert mixed_batch(before, after, Blend.identity(1), columns=9).width < 300


def test_a_share_of_the_whole_batch_serves_every_row():
    before, after, blend = make_mixture()
    per_row = mixed_batch(before, after, blend, NAMES)
    of_all = replace(blend, share=blend.share[:1])
    picture = mixed_batch(before, after, of_all, NAMES)
    assert np.array_equal(np.asarray(picture), np.asarray(per_row))


def test_hostile_and_endless_class_names_leave_the_shares_legible():
    before, after, blend = make_mixture()
    names = ["<script>alert(1)</script>" * 9, "a\nb", "\N{CAT FACE}"]
    short = mixed_batch(before, after, blend, NAMES)
    assert mixed_batch(before, after, blend, names).size == short.size


def test_rows_of_a_table_are_refused():
    before, after, blend = make_mixture()
    before.images = before.images[:, 0, 0]
    with pytest.raises(ValueError, match=r"\(B, C, H, W\), got \(6, 8\)"):
        mixed_batch(before, after, blend)


def test_rows_of_a_table_are_drawn_with_a_look():
    rows, targets = torch.rand(6, 4), torch.eye(3)[torch.arange(6) % 3]
    blend = Mixup(1.0)(rows, targets, np.random.default_rng(0))
    before, after = Batch(rows, targets), Batch(*blend.mix(rows, targets))
    look = look_of(DataSpec((4,), ("a", "b", "c")))
    page = mixed_batch(before, after, blend, NAMES, look=look, columns=1)
    assert page.width == 2 * 14 + 3 * 200 + 2 * 4 + 8 and page.height > 6 * (96 + 8)
    with_more = Guests(9 + rows, targets)
    other = mixed_batch(Batch(rows, targets, guests=with_more), after, blend, look=look, columns=1)
    assert not np.array_equal(np.asarray(page), np.asarray(other)), "guests are in the range, too"


def test_the_shares_of_rows_are_said_where_a_picture_hardly_tells():
    line = origin_line(3, [5, 7], 6, NAMES, {5: (0, 1)}, shares={3: 0.5, 5: 0.3, 7: 0.2})
    assert line.texts[0] == "0.50 row 3, 0.30 partner 5: cat (true dog), 0.20 partner guest 1"
    alone = origin_line(3, [], 6, NAMES, {}, shares={3: 1.0})
    assert alone.texts[0] == "row 3, no partner"


def test_a_row_that_comes_in_twice_has_the_sum_of_its_shares():
    rows, targets = torch.rand(4, 5), torch.eye(4)
    blend = Sequence([Mixup(1.0), Mixup(1.0, per_row=False)])(
        rows, targets, np.random.default_rng(0)
    )
    labels = blend.targets(targets)
    for row in range(4):
        shares = shares_of(row, blend)
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert shares == pytest.approx({k: float(labels[row, k]) for k in shares}, abs=1e-5)
    of_all = Mixup(1.0, per_row=False)(rows, targets, np.random.default_rng(0))
    assert shares_of(3, of_all)[3] == pytest.approx(float(of_all.own_share[3]))


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ([0.3, 0.7, 0.0], "0.70 dog + 0.30 cat"),
        ([0.0, 0.0, 1.0], "1.00 ship"),
        ([0.4, 0.3, 0.3], "0.40 cat + 0.30 dog + 0.30 ship"),
        ([0.0, 0.0, 0.0], "no label"),
    ],
)
def test_labels_in_words(target, text):
    assert describe_label(torch.tensor(target), NAMES) == text


def test_labels_in_few_words():
    target = torch.tensor([0.4, 0.3, 0.2, 0.1])
    assert describe_label(target, most=2) == "0.40 '0' + 0.30 '1' + ..."
    names = ["caterpillar", "b", "c", "d"]
    assert describe_label(target, names, most=1, longest=4) == "0.40 cat. + ..."


@pytest.mark.parametrize(
    ("row", "partners", "text", "color"),
    [
        (0, [], "row 0, no partner", FAINT),
        (0, [2], "row 0, partner 2", FAINT),
        (3, [2], "row 3: cat (true dog), partner 2", ACCENT),
        (0, [3, 7], "row 0, partners 3: cat (true dog), guest 1: ship (true cat)", ACCENT),
    ],
)
def test_rows_with_a_wrong_label_say_the_right_one_too(row, partners, text, color):
    line = origin_line(row, partners, 6, NAMES, {3: (0, 1), 7: (2, 0)})
    assert list(line.texts) == [text] and line.color == color
    numbers = origin_line(3, [], 6, None, {3: (7, 1)})
    assert numbers.texts[0] == "row 3: 7 (true 1), no partner"


def test_a_partner_without_a_share_is_shown_where_there_is_no_other():
    before, after, _ = make_mixture()
    source = torch.tensor([[row, (row + 1) % 6] for row in range(6)])
    share = torch.tensor([[1.0, 0.0]] * 3 + [[0.75, 0.25]] * 3)
    picture = mixed_batch(before, after, Blend(source, share), NAMES, columns=1)
    assert level_at(picture, 14 + 148, 14 + 48) == pytest.approx(2 / 7, abs=0.01)
    assert origin_line(0, [2], 6, NAMES, {}, in_label=False).texts[0] == "row 0, partner 2, share 0"
    two, shares = torch.tensor([0, 3, 4]), torch.tensor([0.5, 0.5, 0.0])
    assert partners_of(0, two, shares) == {1: 3} and partners_of(0, two, 0 * shares) == {1: 3, 2: 4}
    assert partners_of(0, torch.tensor([0, 0]), torch.tensor([1.0, 0.0])) == {}


def test_a_pair_of_images_says_the_right_label_too():
    targets = torch.eye(3)
    texts = [words(row, targets, NAMES, {1: (1, 2)})[0].texts[0] for row in range(3)]
    assert texts == ["cat", "dog (true ship)", "ship"]


def test_a_mixture_of_features_is_said_to_be_out_of_sight():
    before, after, blend = make_mixture()
    seen = mixed_batch(before, after, blend, NAMES, columns=1)
    hidden = SimpleNamespace(images=before.images, targets=after.targets)
    picture = mixed_batch(before, hidden, blend, NAMES, columns=1)
    mixed = int((blend.source[:, 0] != blend.source[:, 1]).sum())
    line = (picture.height - seen.height) / mixed
    assert 10 < line < 20, "a line below each row that has a partner"
    alone = Blend(blend.source[:, :1].repeat(1, 2), blend.share)
    unmixed = mixed_batch(before, before, alone, NAMES, columns=1)
    assert unmixed.height == seen.height + remark(NONE_MIXED, seen.width).height


@pytest.mark.parametrize("num_guests", [0, 5])
def test_where_few_rows_are_mixed_the_picture_shows_them(num_guests):
    before, _, whole = make_mixture(num_rows=20, num_guests=num_guests)
    pool = before.images if not num_guests else torch.cat([before.images, before.guests.images])
    blend = whole.where(torch.arange(20) == 15)
    labels = torch.eye(3)[torch.arange(len(pool)) % 3]
    after = SimpleNamespace(images=blend.images(pool), targets=blend.targets(labels))
    picture = mixed_batch(before, after, blend, NAMES, count=3, columns=1)
    top = 14 + remark(rows_note(blend, 3), picture.width).height + 48
    levels = [[level_at(picture, 14 + x, top + k * 146) for x in (48, 252)] for k in range(3)]
    images = [before.images, after.images]
    expected = [[float(each[row].mean()) for each in images] for row in (15, 16, 17)]
    assert levels == pytest.approx(np.array(expected), abs=0.01)
    partner = float(pool[whole.source[15, 1]].mean())
    assert level_at(picture, 14 + 148, top) == pytest.approx(partner, abs=0.01)


def test_few_mixed_rows_of_a_table_are_drawn_as_without_the_rows_between():
    rows, targets = torch.rand(8, 4), torch.eye(3)[torch.arange(8) % 3]
    whole = Mixup(1.0)(rows, targets, np.random.default_rng(0), np.array([[6]] * 8))
    look = look_of(DataSpec((4,), ("a", "b", "c")))
    blend = whole.where(torch.arange(8) == 5)
    before, after = Batch(rows, targets), Batch(*blend.mix(rows, targets))
    many, few = (
        np.asarray(mixed_batch(before, after, blend, look=look, columns=1, count=count))
        for count in (8, 1)
    )
    height = few.shape[0] - remark(rows_note(blend, 1), few.shape[1]).height - 14
    assert np.array_equal(many[14 + 5 * height :][:height], few[-height:])
