"""Figures of a report: every seed with its differences, and learning curves with seed bands."""

import io
import re
import textwrap
from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixlab.reporting import curves, text
from mixlab.reporting.comparison import Arm, Block, Comparison
from mixlab.reporting.pairing import Result, finished
from mixlab.reporting.records import number

INK = "#010203"  # becomes the page's text colour in SVG, so that figures follow light and dark
PAPER_INK = "#1c1e21"  # of the PNG
COLORS = (
    "#7b8490", "#3b7fc4", "#d9742b", "#3b9b6d", "#9467bd", "#c94f6d", "#2a9aa5", "#a88a2b",
    "#6b74d6", "#8c6d5a",
)  # fmt: skip  # the first is the baseline's; all are legible on white and on black
STYLE = {
    "font.size": 9.5,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "text.parse_math": False,  # names are shown as they are, dollars and all
    "axes.spines.top": False,
    "axes.spines.right": False,
}
WIDTH, ROW, HEAD = 9.6, 0.46, 0.85  # inches: of a figure, of an arm's row, of title and axis
BANDS = 6  # more arms are drawn without bands, which would hide each other
LINE, LONGEST = 26, 40  # letters of a line of a label, and of a label in one line


def overview(blocks: Sequence[Block], comparison: Comparison, *, ink: str = INK) -> Figure:
    """A row per arm: every seed, seeds joined, beside the difference to the baseline."""
    heights = [HEAD + ROW * len(block.arms) for block in blocks]
    with rc_context({**STYLE, **_inked(ink)}):
        figure = Figure(figsize=(WIDTH, sum(heights)))
        top = sum(heights)
        labels = [_wrapped(arm.label) for block in blocks for arm in block.arms]
        longest = max(len(line) for label in labels for line in label.split("\n"))
        left = min(0.30, 0.03 + 0.0085 * longest)
        for block, height in zip(blocks, heights, strict=True):
            inner = (top - height + 0.48) / sum(heights), (height - 0.80) / sum(heights)
            top -= height
            middle = left + (0.86 - left) * 0.5
            dots = figure.add_axes((left, inner[0], middle - left - 0.02, inner[1]))
            forest = figure.add_axes((middle + 0.02, inner[0], 0.86 - middle - 0.02, inner[1]))
            _draw_dots(dots, block, comparison, ink)
            _draw_forest(forest, block, comparison, ink)
            if len(blocks) > 1:
                place = 0.01, inner[0] + inner[1] + 0.08 / sum(heights)
                figure.text(*place, _short(block.title, 50), fontweight="bold")
            if len(block.checkpoints) > 1 and block is blocks[0]:
                _draw_key(forest, ink)
    return figure


def _draw_key(axes: Axes, ink: str) -> None:
    """Say above the rows what filled and hollow marks are."""
    looks = {"chosen on validation": ink, "last epoch": "none"}
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=5, markerfacecolor=face,
               markeredgecolor=ink, label=name)
        for name, face in looks.items()
    ]  # fmt: skip
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2,
                frameon=False, fontsize=8.5, handletextpad=0.1, borderaxespad=0)  # fmt: skip


def _draw_dots(axes: Axes, block: Block, comparison: Comparison, ink: str) -> None:
    """Every seed of every arm; grey lines join a seed's runs at the headline's checkpoint."""
    factor = text.unit(comparison.question.metric).factor
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
            look = _marker(checkpoint, block, _color(y))
            axes.plot(values, [place] * len(values), "o", markersize=5, alpha=0.85, **look)
            if values and checkpoint == block.headline:
                mean = result.summary.mean * factor
                axes.plot([mean, mean], [place - 0.24, place + 0.24], color=ink, linewidth=1.6)
    axes.set_yticks(range(len(block.arms)), [_wrapped(arm.label) for arm in block.arms])
    axes.set_xlabel(text.metric_words(comparison.question))
    _finish_rows(axes, block)


def _draw_forest(axes: Axes, block: Block, comparison: Comparison, ink: str) -> None:
    """Differences to the baseline with their intervals, and the verdicts beside them."""
    in_unit = text.unit(comparison.question.metric)
    axes.axvline(0, color=ink, linewidth=0.9, alpha=0.7)
    for y, arm in enumerate(block.arms):
        for checkpoint in block.checkpoints:
            if arm is not block.baseline:
                place = y + _shift(checkpoint, block)
                is_headline = checkpoint == block.headline
                look = _marker(checkpoint, block, _color(y))
                _draw_interval(axes, arm.results[checkpoint], place, in_unit, look, is_headline)
        words = arm.results[block.headline].verdict if block.checkpoints and block.baseline else ""
        axes.text(1.03, y, words, transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    name = block.baseline.label if block.baseline else "a baseline that is not here"
    axes.set_xlabel(f"difference to {_short(name)}, {in_unit.of_difference}".rstrip(", "))
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -0.02 * (high - low)), max(high, 0.02 * (high - low)))
    _finish_rows(axes, block)


def _draw_interval(
    axes: Axes, result: Result, y: float, unit: text.Unit, look: dict[str, str], is_headline: bool
) -> None:
    difference, factor = result.difference, unit.factor
    if not difference.n:
        return
    if difference.n > 1:
        ends = [difference.low * factor, difference.high * factor]
        width = 2.2 if is_headline else 1.0
        axes.plot(ends, [y, y], color=look["markeredgecolor"], linewidth=width)
    axes.plot([difference.mean * factor], [y], "D", markersize=6 if is_headline else 4.5, **look)


def _marker(checkpoint: str, block: Block, color: str) -> dict[str, str]:
    """Filled for the headline's checkpoint, hollow for the other."""
    face = color if checkpoint == block.headline else "none"
    return {"markerfacecolor": face, "markeredgecolor": color}


def _shift(checkpoint: str, block: Block) -> float:
    """The last epoch stands below the checkpoint that was chosen."""
    if len(block.checkpoints) < 2:
        return 0.0
    return -0.1 if checkpoint == block.headline else 0.3


def _finish_rows(axes: Axes, block: Block) -> None:
    axes.set_ylim(len(block.arms) - 0.5, -0.5)
    axes.grid(axis="x", linewidth=0.5, alpha=0.25)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=6)


def learning_curves(block: Block, comparison: Comparison, *, ink: str = INK) -> Figure | None:
    """Means over seeds with bands from lowest to highest; None where nothing was logged."""
    metrics = curve_metrics(block, comparison)
    logged = [[curves.read(run, metrics) for run in finished(arm.runs)] for arm in block.arms]
    with rc_context({**STYLE, **_inked(ink)}):
        figure = Figure(figsize=(WIDTH, 3.1 + 0.19 * (-(-len(block.arms) // 3))))
        below = 0.19 * (-(-len(block.arms) // 3)) / figure.get_figheight()
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        figure.subplots_adjust(left=0.07, right=0.99, top=0.92, bottom=0.15 + below, wspace=0.18)
        for axes, metric in zip(panels, metrics, strict=True):
            runs = [[curve[metric] for curve in arm if metric in curve] for arm in logged]
            bands = {y: band for y, arm in enumerate(runs) if (band := curves.band(arm))}
            if not bands:
                return None
            _draw_bands(axes, bands, metric, block)
        handles = panels[0].get_lines()[: len(block.arms)]
        labels = [_short(block.arms[int(line.get_gid())].label) for line in handles]
        figure.legend(handles, labels, loc="lower left", ncols=3, frameon=False,
                      bbox_to_anchor=(0.06, 0.0), borderaxespad=0.2)  # fmt: skip
    return figure


def curve_metrics(block: Block, comparison: Comparison) -> list[str]:
    """The metric and the loss, on validation data, or on training data where there are none."""
    stage = "val" if "best" in block.checkpoints else "train"
    name = comparison.question.metric.rsplit("/", 1)[-1]
    return list(dict.fromkeys([f"{stage}/{name}", f"{stage}/loss"]))


def _draw_bands(axes: Axes, bands: Mapping[int, curves.Band], metric: str, block: Block) -> None:
    factor = text.unit(metric).factor
    for y, band in bands.items():
        axes.plot(band.epochs, band.mean * factor, color=_color(y), linewidth=1.6, gid=str(y))
    for y, band in bands.items() if len(bands) <= BANDS else ():
        low, high = band.low * factor, band.high * factor
        axes.fill_between(band.epochs, low, high, color=_color(y), alpha=0.18, linewidth=0)
    for y, arm in enumerate(block.arms):
        fraction = number(arm.settings.get("mixing.schedule.off_after"))
        if fraction is not None and y in bands:
            off = fraction * (bands[y].epochs.max() + 1) - 0.5
            axes.axvline(off, color=_color(y), linewidth=1, linestyle=":")
    axes.set_ylim(*_interesting(list(bands.values()), factor))
    axes.set_title(metric + (", %" if factor != 1 else ""), loc="left", fontsize=10)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(linewidth=0.5, alpha=0.25)


def _interesting(bands: Sequence[curves.Band], factor: float) -> tuple[float, float]:
    """Limits that leave out the first quarter of training, whose steep start hides the rest."""
    starts = [len(band.epochs) // 4 for band in bands]
    low = min(band.low[start:].min() for band, start in zip(bands, starts, strict=True)) * factor
    high = max(band.high[start:].max() for band, start in zip(bands, starts, strict=True)) * factor
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element to stand in a page; `name` keeps its ids apart from others'."""
    file = io.StringIO()
    with rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    return re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)


def to_png(figure: Figure) -> bytes:
    """The figure on white, not taller than image viewers like."""
    file = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(file, format="png", dpi=min(150, 20_000 / figure.get_figheight()))
    return file.getvalue()


def _inked(ink: str) -> dict[str, str]:
    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color",
             "grid.color")  # fmt: skip
    return dict.fromkeys(names, ink)


def _values(arm: Arm, checkpoint: str) -> Mapping[int, float]:
    result = arm.results.get(checkpoint)
    return result.values if result else {}


def _color(y: int) -> str:
    return COLORS[y] if y < len(COLORS) else COLORS[1 + (y - 1) % (len(COLORS) - 1)]


def _wrapped(label: str) -> str:
    return textwrap.fill(label, LINE, max_lines=2, placeholder="...", break_on_hyphens=False)


def _short(label: str, longest: int = LONGEST) -> str:
    return label if len(label) <= longest else f"{label[: longest - 3]}..."
