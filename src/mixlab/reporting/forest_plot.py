"""A row per arm: every seed on the left, the difference to the baseline on the right."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixlab.reporting import formatting, style
from mixlab.reporting.comparison import Arm, Block, Comparison
from mixlab.reporting.pairing import Result

ROW, HEAD = 0.46, 0.85  # inches: of an arm's row, and of title and axis


def draw_forest(
    blocks: Sequence[Block], comparison: Comparison, *, ink: str = style.TEXT_INK
) -> Figure:
    """Draw blocks below each other, with titles if there are several."""
    heights = [HEAD + ROW * len(block.arms) for block in blocks]
    total = sum(heights)
    lines = [
        line
        for block in blocks
        for arm in block.arms
        for line in style.wrapped_label(arm.label).split("\n")
    ]
    left = 0.03 + 0.0085 * max(map(len, lines))
    width = (0.86 - left - 0.04) / 2
    with style.styled(ink):
        figure = Figure(figsize=(style.FIGURE_WIDTH, total))
        top = total
        for block, height in zip(blocks, heights, strict=True):
            bottom, share = (top - height + 0.48) / total, (height - 0.80) / total
            dots = figure.add_axes((left, bottom, width, share))
            forest = figure.add_axes((left + width + 0.04, bottom, width, share))
            _draw_dots(dots, block, comparison, ink)
            _draw_forest(forest, block, comparison, ink)
            if len(blocks) > 1:
                title = style.one_line_label(block.title, 50)
                figure.text(0.01, bottom + share + 0.08 / total, title, fontweight="bold")
            if len(block.checkpoints) > 1 and block is blocks[0]:
                _draw_key(forest, ink)
            top -= height
    return figure


def draw_stacked(block: Block, comparison: Comparison) -> Figure:
    """The same of one block for a phone: runs above, differences below, arms named at both."""
    height, ink = HEAD + ROW * len(block.arms), style.TEXT_INK
    names = [style.one_line_label(arm.label, 16) for arm in block.arms]
    left = 0.04 + 0.016 * max(map(len, names))
    with style.styled(ink):
        figure = Figure(figsize=(style.STACKED_WIDTH, 2 * height))
        for place, draw in enumerate((_draw_forest, _draw_dots)):
            bottom = (place * height + 0.48) / (2 * height)
            axes = figure.add_axes((left, bottom, 0.78 - left, (height - 0.80) / (2 * height)))
            draw(axes, block, comparison, ink)
            axes.set_yticks(range(len(names)), names)
        if len(block.checkpoints) > 1:
            _draw_key(axes, ink)
    return figure


def _draw_key(axes: Axes, ink: str) -> None:
    """Explain filled and hollow marks above the rows."""
    looks = {"chosen on validation": ink, "last epoch": "none"}
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=5, markerfacecolor=face,
               markeredgecolor=ink, label=name)
        for name, face in looks.items()
    ]  # fmt: skip
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2,
                frameon=False, fontsize=8.5, handletextpad=0.1, borderaxespad=0)  # fmt: skip


def _draw_dots(axes: Axes, block: Block, comparison: Comparison, ink: str) -> None:
    """Every seed of every arm; gray lines join a seed's runs at the headline's checkpoint."""
    factor = formatting.unit(comparison.question).factor
    seeds = {s for arm in block.arms for s in _values(arm, block.headline)}
    for seed in seeds:
        points = [
            (_values(arm, block.headline)[seed] * factor, y + _shift(block.headline, block))
            for y, arm in enumerate(block.arms)
            if seed in _values(arm, block.headline)
        ]
        axes.plot(*zip(*points, strict=True), color=ink, alpha=0.18, linewidth=0.8, zorder=1)
    for y, arm in enumerate(block.arms):
        for checkpoint in block.checkpoints:
            result, place = arm.results[checkpoint], y + _shift(checkpoint, block)
            values = [value * factor for value in result.values.values()]
            look = _marker(checkpoint, block, style.color(y))
            axes.plot(values, [place] * len(values), linestyle="", marker="o", markersize=5, **look)
            if values and checkpoint == block.headline:
                mean = result.summary.mean * factor
                axes.plot([mean, mean], [place - 0.24, place + 0.24], color=ink, linewidth=1.6)
    axes.set_yticks(range(len(block.arms)), [style.wrapped_label(arm.label) for arm in block.arms])
    axes.set_xlabel(formatting.metric_words(comparison.question))
    _finish_rows(axes, block)


def _draw_forest(axes: Axes, block: Block, comparison: Comparison, ink: str) -> None:
    """Differences to the baseline with their intervals, and the verdicts beside them."""
    in_unit = formatting.unit(comparison.question)
    axes.axvline(0, color=ink, linewidth=0.9, alpha=0.7)
    for y, arm in enumerate(block.arms):
        for checkpoint in block.checkpoints:
            if arm is not block.baseline:
                place = y + _shift(checkpoint, block)
                is_headline = checkpoint == block.headline
                look = _marker(checkpoint, block, style.color(y))
                _draw_interval(axes, arm.results[checkpoint], place, in_unit, look, is_headline)
        words = arm.results[block.headline].verdict if block.checkpoints and block.baseline else ""
        axes.text(1.03, y, words, transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    name = block.baseline.label if block.baseline else "a missing baseline"
    axes.set_xlabel(
        formatting.joined(f"difference to {style.one_line_label(name)}", in_unit.of_difference)
    )
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -0.02 * (high - low)), max(high, 0.02 * (high - low)))
    _finish_rows(axes, block)


def _draw_interval(
    axes: Axes,
    result: Result,
    y: float,
    unit: formatting.Unit,
    look: dict[str, Any],
    is_headline: bool,
) -> None:
    difference, factor = result.difference, unit.factor
    if not difference.n:
        return
    if difference.n > 1:
        ends = [difference.low * factor, difference.high * factor]
        width = 2.2 if is_headline else 1.0
        axes.plot(ends, [y, y], color=look["markeredgecolor"], linewidth=width)
    size = 6 if is_headline else 4.5
    axes.plot([difference.mean * factor], [y], marker="D", markersize=size, **look)


def _marker(checkpoint: str, block: Block, color: str) -> dict[str, Any]:
    """Filled for the headline's checkpoint, hollow for the other."""
    face = color if checkpoint == block.headline else "none"
    return {"markerfacecolor": face, "markeredgecolor": color}


def _shift(checkpoint: str, block: Block) -> float:
    """Vertical offset: the chosen checkpoint above, the last epoch below."""
    if len(block.checkpoints) < 2:
        return 0.0
    return -0.1 if checkpoint == block.headline else 0.3


def _finish_rows(axes: Axes, block: Block) -> None:
    axes.set_ylim(len(block.arms) - 0.5, -0.5)
    axes.grid(axis="x", linewidth=0.5, alpha=0.25)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=6)


def _values(arm: Arm, checkpoint: str) -> Mapping[int, float]:
    result = arm.results.get(checkpoint)
    return result.values if result else {}
