"""Dots class by class: where the records put them, and no more classes than can be read."""

import numpy as np
import pytest

from helpers.written_runs import config, mixing, write_run
from mixlab.reporting.class_plot import MOST_DRAWN, draw_classes, left_out
from mixlab.reporting.comparison import compare_runs
from mixlab.runs.records import find


def block(root, changes, names):
    """The baseline and mixup, whose classes change by so much, in two seeds."""
    for seed in (0, 1):
        for method, change in ((None, np.zeros(len(names))), ("Mixup", np.array(changes))):
            accuracy = (0.6 + seed / 50 + change).tolist()
            record = {"classes": names, "best": accuracy, "last": [0.1] * len(names)}
            write_run(root, config(mixing(method)), seed, class_accuracy=record)
    return compare_runs(find([root])).blocks[0]


@pytest.mark.parametrize("stacked", [False, True])
def test_a_dot_is_the_mean_difference_and_the_class_that_gains_most_is_on_top(tmp_path, stacked):
    found = block(tmp_path, [-0.02, 0.05, 0.01], ["cat", "dog", "eel"])
    figure = draw_classes(found, stacked=stacked)
    assert figure is not None
    [axes] = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["dog", "eel", "cat"]
    [dots] = [line for line in axes.lines if line.get_marker() == "o"]
    assert np.asarray(dots.get_xdata()) == pytest.approx([5, 1, -2])
    low, high = axes.get_ylim()
    assert low > high, "the first row on top"


def test_of_many_classes_those_that_change_most_are_drawn(tmp_path):
    names = [f"class {number}" for number in range(MOST_DRAWN + 3)]
    changes = [0.001 * (number + 1) * (-1) ** number for number in range(MOST_DRAWN + 3)]
    found = block(tmp_path, changes, names)
    figure = draw_classes(found)
    assert figure is not None and left_out(found) == 3
    drawn = {text.get_text() for text in figure.axes[0].get_yticklabels()}
    assert drawn == set(names[3:])


def test_without_records_of_classes_there_is_no_figure(tmp_path):
    for method in (None, "Mixup"):
        write_run(tmp_path, config(mixing(method)), 0)
    found = compare_runs(find([tmp_path])).blocks[0]
    assert draw_classes(found) is None and left_out(found) == 0
