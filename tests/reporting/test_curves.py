"""Learning curves: what was logged, averaged over the epochs that all seeds have."""

import numpy as np
import pytest

from helpers.written_runs import config, mixing, quickstart, write_arms, write_run
from mixlab.reporting import curves
from mixlab.reporting.comparison import compare_runs
from mixlab.reporting.pairing import Question
from mixlab.runs.records import find, read_run


def test_reading_takes_the_last_value_of_an_epoch(tmp_path):
    folder = write_run(tmp_path, config(), 0)
    (folder / "metrics.csv").write_text(
        "epoch,step,train/loss,val/accuracy\n0,1,2.0,\n0,2,1.5,\n0,2,,0.4\n1,4,1.0,\n1,4,,0.6\n"
    )
    found = curves.read_metrics(read_run(folder), ["train/loss", "val/accuracy", "val/nothing"])
    assert found == {"train/loss": {0: 1.5, 1: 1.0}, "val/accuracy": {0: 0.4, 1: 0.6}}


@pytest.mark.parametrize("text", [None, "", "a,b\n1,2\n", "epoch,val/loss\n0,zero\n", "\0"])
def test_a_missing_or_broken_log_is_no_curve(tmp_path, text):
    folder = write_run(tmp_path, config(), 0)
    (folder / "metrics.csv").unlink()
    if text is not None:
        (folder / "metrics.csv").write_text(text)
    assert curves.read_metrics(read_run(folder), ["val/loss"]) == {}


def test_a_curve_has_the_unit_that_the_runs_recorded(tmp_path):
    sweep = quickstart(tmp_path, metrics={"loss": {"unit": "%", "higher_is_better": False}})
    comparison = compare_runs(find([sweep]), Question("test/loss"))
    figure = curves.draw_curves(comparison.blocks[0], comparison)
    assert figure is not None and figure.axes[0].get_title("left") == "val/loss, %"


def test_average_is_over_shared_epochs():
    band = curves.average([{0: 1.0, 1: 2.0, 2: 9.0}, {0: 3.0, 1: 6.0}])
    assert band is not None
    assert band.epochs.tolist() == [0, 1]
    assert band.mean.tolist() == [2.0, 4.0]
    assert (band.low.tolist(), band.high.tolist()) == ([1.0, 2.0], [3.0, 6.0])


@pytest.mark.parametrize("logged", [[], [{}], [{0: 1.0}, {1: 1.0}], [{0: float("nan")}]])
def test_no_average_of_nothing(logged):
    assert curves.average(logged) is None


def panels(sweep):
    comparison = compare_runs(find([sweep]))
    figure = curves.draw_curves(comparison.blocks[0], comparison)
    assert figure is not None
    return [axes for axes in figure.axes if axes.get_title(loc="left")]


def test_validation_curves_are_drawn_in_percent(tmp_path):
    accuracy, loss, _ = panels(quickstart(tmp_path))
    assert accuracy.get_title(loc="left") == "val/accuracy, %"
    assert loss.get_title(loc="left") == "val/loss"
    assert len(accuracy.get_lines()) == 3 and len(accuracy.collections) == 3
    final = [line.get_ydata()[-1] for line in accuracy.get_lines()]
    assert 85 < np.min(final) and np.max(final) < 100


def test_training_curves_for_lack_of_validation(tmp_path):
    arms = {"none": (config(), 0.9), "mixup": (config(mixing("Mixup")), 0.9)}
    write_arms(tmp_path, arms, range(2), validation=False)
    assert [axes.get_title(loc="left") for axes in panels(tmp_path)] == [
        "train/accuracy, %", "train/loss",
    ]  # fmt: skip


def test_panels_are_stacked_for_a_phone(tmp_path):
    comparison = compare_runs(find([quickstart(tmp_path, range(2))]))
    figure = curves.draw_curves(comparison.blocks[0], comparison, stacked=True)
    assert figure is not None
    corners = [(axes.get_position().x0, axes.get_position().y1) for axes in figure.axes]
    assert len({left for left, _ in corners}) == 1 and corners == sorted(corners, reverse=True)
    assert len(corners) == 3 and figure.get_figwidth() < 6


def test_a_single_epoch_is_points(tmp_path):
    for axes in panels(quickstart(tmp_path, epochs=1)):
        assert [(line.get_marker(), line.get_markevery()) for line in axes.get_lines()] == [
            ("o", [0])
        ] * 3
        low, high = axes.get_ylim()
        assert all(low < line.get_ydata()[0] < high for line in axes.get_lines())


def test_the_best_epoch_is_marked_and_the_training_loss_is_beside(tmp_path):
    for seed, epoch in enumerate([2, 6, 7]):
        test = {"epoch": epoch, "test/accuracy": 0.9}
        write_run(tmp_path, config(), seed, results={"best": test, "last": test})
    drawn = {axes.get_title(loc="left"): axes.get_lines()[0] for axes in panels(tmp_path)}
    marks = {
        title: [int(line.get_xdata()[place]) for place in line.get_markevery()]
        for title, line in drawn.items()
    }
    assert marks == {"val/accuracy, %": [7], "val/loss": [7], "train/loss": []}
    assert drawn["train/loss"].get_ydata()[0] > 2, "of the first epoch"


def test_the_end_of_mixing_is_marked(tmp_path):
    off = config(mixing("Mixup", schedule={"off_after": 0.8}))
    write_arms(tmp_path, {"none": (config(), 0.9), "mixup": (off, 0.9)}, range(2))
    marks = [line.get_xdata()[0] for line in panels(tmp_path)[0].get_lines()[2:]]
    assert marks == pytest.approx([8.5])  # of 10 epochs, 1 to 8 are mixed


def test_nothing_logged_is_no_figure(tmp_path):
    sweep = quickstart(tmp_path, range(2))
    for path in tmp_path.rglob("metrics.csv"):
        path.unlink()
    comparison = compare_runs(find([sweep]))
    assert curves.draw_curves(comparison.blocks[0], comparison) is None


@pytest.mark.parametrize(("first", "is_said"), [(0.1, True), (0.7, False)])
def test_a_start_that_is_cut_off_is_said(tmp_path, first, is_said):
    folder = write_run(tmp_path, config(), 0)
    values = [first, 0.71, 0.7, 0.72, 0.75, 0.76, 0.77, 0.78]
    rows = [f"{epoch},{value}" for epoch, value in enumerate(values)]
    (folder / "metrics.csv").write_text("\n".join(["epoch,val/accuracy", *rows, ""]))
    (axes,) = panels(tmp_path)
    assert (axes.get_title(loc="right") == "first epochs are cut off") == is_said
