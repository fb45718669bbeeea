"""The strip of an arm is the first row of one picture, and no broken file costs the report."""

import base64
import io

import pytest
from PIL import Image

from helpers.written_runs import config, write_run
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.strips import arm_strip, first_row
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
