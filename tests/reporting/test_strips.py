"""The strip of an arm is the first row of one picture, and no broken file costs the report."""

import base64
import io
import itertools

import pytest
from PIL import Image

from helpers.written_runs import config, mixing, write_run
from mixlab.reporting import html, strips
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.strips import arm_strip, block_strips, first_row
from mixlab.runs.records import find


def a_sheet(*heights, gap=20):
    """Rows of black of these heights, with white between and around them."""
    page = Image.new("RGB", (50, sum(heights) + gap * (len(heights) + 1)), "white")
    top = gap
    for height in heights:
        page.paste("black", (5, top, 45, top + height))
        top += height + gap
    return page


@pytest.mark.parametrize(
    ("heights", "gap", "expected"),
    [((100, 100), 20, 126), ((30, 100, 100), 20, 176), ((100, 100), 8, 224)],
)
def test_a_row_ends_at_the_first_wide_gap_below_it(heights, gap, expected):
    assert first_row(a_sheet(*heights, gap=gap)).height == expected


def drawn(root):
    found = arm_strip(compare_runs(find([root])).blocks[0].arms[0])
    return found and Image.open(io.BytesIO(base64.b64decode(found.partition(",")[2])))


@pytest.mark.parametrize(("epochs", "shown"), [([0, 1, 9], 1), ([9, 0], 0), ([10, 2], 2)])
def test_the_second_epoch_or_else_the_first_is_shown(tmp_path, epochs, shown):
    figures = write_run(tmp_path, config(), 0) / "figures"
    figures.mkdir()
    for epoch in epochs:
        Image.new("RGB", (40 + epoch, 30)).save(figures / f"mixed-epoch-{epoch}.png")
    assert drawn(tmp_path).width == 40 + shown


def test_no_picture_and_a_broken_one_are_none(tmp_path):
    figures = write_run(tmp_path, config(), 0) / "figures"
    assert drawn(tmp_path) is None
    figures.mkdir()
    (figures / "mixed-epoch-1.png").write_bytes(b"not a picture")
    assert drawn(tmp_path) is None


def test_a_page_has_so_many_strips_and_says_so(tmp_path, monkeypatch):
    for method, data in itertools.product(("Mixup", "CutMix"), ("a", "b")):
        node = config(mixing(method), **{"data.name": data})
        figures = write_run(tmp_path, node, 0) / "figures"
        figures.mkdir()
        Image.new("RGB", (40, 30)).save(figures / "mixed-epoch-1.png")
    found = compare_runs(find([tmp_path]))
    assert [len(drawn) for drawn in block_strips(found.blocks)] == [2, 2]
    page = html.render(found, [])
    assert "Pictures of the first" not in page
    assert "cutmix: what its first run was shown: an image, its" in page
    assert "mixup: what its first run was shown, arranged as for cutmix<" in page
    monkeypatch.setattr(strips, "MOST_STRIPS", 3)
    assert [len(drawn) for drawn in block_strips(found.blocks)] == [2, 1]
    page = html.render(found, [])
    assert page.count("data:image/jpeg") == 3 and "Pictures of the first 3 arms" in page
