"""The confusion matrix as a table and as a picture."""

import csv

import pytest
import torch

from mixlab.evaluation.confusion import MOST_COUNTS, confusion_csv, draw_confusion
from mixlab.reporting.style import to_png

COUNTS = torch.tensor([[3, 1, 0], [0, 0, 0], [2, 0, 5]])


def test_the_table_has_the_true_classes_as_lines() -> None:
    header, *lines = csv.reader(confusion_csv(COUNTS, ["cat", "=dog", "a,b"]).splitlines())
    assert header[1:] == [line[0] for line in lines] == ["cat", "'=dog", "a,b"]
    assert [[int(cell) for cell in line[1:]] for line in lines] == COUNTS.tolist()


def test_the_picture_shows_shares_of_the_true_class_and_counts() -> None:
    figure = draw_confusion(COUNTS, ["cat", "$dog$", "a_b"], "pets, test, best")
    axes, _ = figure.axes
    (image,) = axes.images
    shown = image.get_array()
    assert shown is not None
    shares = torch.tensor([[0.75, 0.25, 0], [0, 0, 0], [2 / 7, 0, 5 / 7]])
    torch.testing.assert_close(torch.tensor(shown), shares)
    written = {each.get_position()[::-1]: each.get_text() for each in axes.texts}
    written = {place: text for place, text in written.items() if text}
    assert written == {(0, 0): "3", (0, 1): "1", (2, 0): "2", (2, 2): "5"}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert to_png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [2, MOST_COUNTS + 1, 100])
def test_any_number_of_classes_fits(count: int) -> None:
    names = [f"class {number} " * 9 for number in range(count)]
    figure = draw_confusion(torch.eye(count, dtype=torch.int64), names, "many")
    width, height = figure.get_size_inches()
    assert 3 < height < width < 15
    assert bool(figure.axes[0].texts) == (count <= MOST_COUNTS)
