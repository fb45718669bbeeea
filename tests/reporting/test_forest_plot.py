"""The figure of all runs shows the numbers of the tables, and any name as it is."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from helpers.hostile_names import hostile_sweep
from helpers.written_runs import config, mixing, quickstart, write_arms, write_run
from mixlab.reporting import forest_plot, style
from mixlab.reporting.comparison import compare_runs
from mixlab.runs.records import find


@pytest.fixture
def comparison(tmp_path):
    return compare_runs(find([quickstart(tmp_path)]))


def test_every_run_and_every_difference_is_drawn(comparison):
    (block,) = comparison.blocks
    dots, forest = forest_plot.draw_forest([block], comparison).axes
    shown = {round(float(x), 6) for line in dots.get_lines() for x in line.get_xdata()}
    drawn = {round(float(x), 6) for line in forest.get_lines() for x in line.get_xdata()}
    for arm in block.arms:
        for result in arm.results.values():
            assert {round(100 * value, 6) for value in result.values.values()} <= shown
            if arm is not block.baseline:
                difference = result.difference
                for value in (difference.mean, difference.low, difference.high):
                    assert round(100 * value, 6) in drawn
    assert [label.get_text() for label in dots.get_yticklabels()] == ["none", "cutmix", "mixup"]


def test_bars_are_means_and_only_the_headline_is_filled(comparison):
    (block,) = comparison.blocks
    dots, _ = forest_plot.draw_forest([block], comparison).axes
    bars = [line.get_xdata()[0] for line in dots.get_lines() if line.get_linewidth() == 1.6]
    means = [100 * arm.results["best"].summary.mean for arm in block.arms]
    assert bars == pytest.approx(means)
    marks = [line for line in dots.get_lines() if line.get_marker() == "o"]
    values = [[100 * x for x in arm.results[at].values.values()]
              for arm in block.arms for at in ("best", "last")]  # fmt: skip
    assert [list(mark.get_xdata()) for mark in marks] == values
    assert [mark.get_markerfacecolor() == "none" for mark in marks] == [False, True] * 3


def test_stacked_for_a_phone_it_shows_the_same(comparison):
    wide = forest_plot.draw_forest(comparison.blocks, comparison)
    narrow = forest_plot.draw_stacked(comparison.blocks[0], comparison)
    drawn = [
        [[list(line.get_xdata()) for line in axes.get_lines()] for axes in axes_of]
        for axes_of in (wide.axes, narrow.axes[::-1])
    ]
    assert drawn[0] == drawn[1]
    below, above = narrow.axes
    assert below.get_position().y1 < above.get_position().y0
    for axes in narrow.axes:
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == ["none", "cutmix", "mixup"]


def test_zero_is_always_in_sight(tmp_path):
    arms = {"none": (config(), 0.5), "mixup": (config(mixing("Mixup")), 0.9)}
    write_arms(tmp_path, arms, range(3))
    comparison = compare_runs(find([tmp_path]))
    low, high = forest_plot.draw_forest(comparison.blocks, comparison).axes[1].get_xlim()
    assert low <= 0 < 39 < high


def test_svg_follows_the_page_and_its_ids_are_its_own(comparison):
    svgs = [
        style.to_svg(forest_plot.draw_forest(comparison.blocks, comparison), name) for name in "ab"
    ]
    ids = []
    for svg in svgs:
        assert "currentColor" in svg and style.TEXT_INK not in svg
        root = ElementTree.fromstring(svg)
        clips = [e.get("id", "") for e in root.iter() if e.tag.endswith("clipPath")]
        assert clips
        ids.append(set(clips))
    assert not ids[0] & ids[1]
    assert style.to_svg(forest_plot.draw_forest(comparison.blocks, comparison), "a") == svgs[0]


def test_names_are_text_and_nothing_else(tmp_path):
    comparison = compare_runs(find([hostile_sweep(tmp_path)]))
    svg = style.to_svg(forest_plot.draw_forest(comparison.blocks, comparison), "x")
    tags = {element.tag.rsplit("}", 1)[-1] for element in ElementTree.fromstring(svg).iter()}
    assert not tags & {"script", "img", "image", "foreignObject", "a"}
    texts = [e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("text")]
    assert any("<script>" in (text or "") for text in texts)


@pytest.mark.parametrize("seeds", [1, 2, 30])
@pytest.mark.parametrize("number_of_arms", [1, 12])
def test_any_number_of_arms_and_seeds(tmp_path, seeds, number_of_arms):
    for i in range(number_of_arms):
        node = config(mixing("Mixup", alpha=0.1 * i) if i else None)
        for seed in range(min(seeds, 3) if number_of_arms > 1 else seeds):
            write_run(tmp_path, node, seed, accuracy=0.9)
    comparison = compare_runs(find([tmp_path]))
    png = style.to_png(forest_plot.draw_forest(comparison.blocks, comparison, ink=style.PAPER_INK))
    assert png.startswith(b"\x89PNG") and len(png) > 5000


def test_only_the_baseline_is_gray():
    colors = [style.color(i) for i in range(40)]
    assert colors.count(style.COLORS[0]) == 1
    assert len(set(colors[:10])) == 10


def test_labels_are_cut_and_wrapped():
    assert style.one_line_label("x" * 99) == "x" * 41 + "..."
    lines = style.wrapped_label(" ".join(f"key{i}=0.{i}" for i in range(30))).split("\n")
    assert len(lines) == 2 and max(map(len, lines)) <= style.LINE_LETTERS
    assert np.all([style.wrapped_label(w) == w for w in ("none", "mixup alpha=0.2")])
