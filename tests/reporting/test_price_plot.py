"""Gain against price: marks stand where differences and times put them."""

import pytest

from helpers.written_runs import config, mixing, write_run, write_sweep
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.price_plot import draw_price
from mixlab.runs.records import find

ARMS = {None: (0.90, 2.0), "Mixup": (0.93, 2.2), "CutMix": (0.88, 3.0)}  # accuracy, seconds


def comparison(root, seeds, arms):
    folders = [
        write_run(root, config(mixing(method)), seed, accuracy=accuracy + seed / 100,
                  seconds_per_epoch=seconds)
        for method, (accuracy, seconds) in arms.items()
        for seed in seeds
    ]  # fmt: skip
    return compare_runs(find([write_sweep(root, "s", folders)]))


@pytest.mark.parametrize("stacked", [False, True])
def test_an_arm_stands_at_its_extra_time_and_its_difference(tmp_path, stacked):
    found = comparison(tmp_path, range(3), ARMS)
    figure = draw_price(found.blocks[0], found, stacked=stacked)
    assert figure is not None
    [axes] = figure.axes
    marks = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "D"]
    assert [pytest.approx(mark, abs=1e-6) for mark in marks] == [(50, -2), (10, 3)]
    assert [0, 0] in [line.get_xydata()[0].tolist() for line in axes.lines], "the baseline"
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["cutmix", "mixup"]


def test_one_pair_has_no_interval(tmp_path):
    found = comparison(tmp_path, [0], {None: (0.90, 2.0), "Mixup": (0.93, 2.2)})
    figure = draw_price(found.blocks[0], found)
    assert figure is not None and len(figure.axes[0].lines) == 3, "the axis and two marks"


@pytest.mark.parametrize(
    ("arms", "seconds"), [({None: (0.9, 2.0)}, 2.0), (ARMS, None), ({"Mixup": (0.9, 2.0)}, 2.0)]
)
def test_nothing_to_compare_and_no_times_are_no_figure(tmp_path, arms, seconds):
    arms = {method: (accuracy, seconds and own) for method, (accuracy, own) in arms.items()}
    if seconds is None:
        folders = [write_run(tmp_path, config(mixing(method)), 0, accuracy=accuracy)
                   for method, (accuracy, _) in arms.items()]  # fmt: skip
        for folder in folders:
            path = folder / "run.json"
            path.write_text(path.read_text().replace('"seconds_per_epoch": 1.1', '"x": 1'))
        found = compare_runs(find([tmp_path]))
    else:
        found = comparison(tmp_path, [0], arms)
    assert draw_price(found.blocks[0], found) is None
