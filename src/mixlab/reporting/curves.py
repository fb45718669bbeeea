"""Learning curves of arms: read, averaged over seeds, and drawn with a band from low to high."""

import csv
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mixlab.reporting import cautions, formatting, style
from mixlab.reporting.comparison import Arm, Block, Comparison
from mixlab.reporting.pairing import finished
from mixlab.runs.records import StoredRun, finite_number

HEIGHT = 3.2  # inches, without the legend
BANDS = 6  # with more arms than this no bands are drawn


@dataclass(frozen=True)
class Band:
    """A metric over epochs; arrays of one length."""

    epochs: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def read_metrics(run: StoredRun, metrics: Collection[str]) -> dict[str, dict[int, float]]:
    """The last value of each metric in each epoch; {} if metrics.csv is absent or broken."""
    found: dict[str, dict[int, float]] = {metric: {} for metric in metrics}
    try:
        with (run.folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            places = [(header.index(name), found[name]) for name in metrics if name in header]
            epoch = header.index("epoch")
            for row in rows:
                for place, values in places:
                    if place < len(row) and row[place]:
                        values[int(float(row[epoch]))] = float(row[place])
    except (OSError, ValueError, csv.Error):
        return {}  # a broken curve must not cost the report
    return {metric: values for metric, values in found.items() if values}


def average(curves: Sequence[dict[int, float]]) -> Band | None:
    """The band over the epochs that every curve has; None if there are none."""
    shared = set.intersection(*map(set, curves)) if curves else set()
    epochs = np.array(sorted(shared), dtype=int)
    values = np.array([[curve[epoch] for epoch in epochs] for curve in curves])
    if not epochs.size or not np.isfinite(values).all():
        return None
    return Band(epochs, values.mean(axis=0), values.min(axis=0), values.max(axis=0))


def draw_curves(
    block: Block, comparison: Comparison, *, ink: str = style.TEXT_INK, stacked: bool = False
) -> Figure | None:
    """A panel per metric, a band per arm; None if nothing was logged. Stacked, it fits a phone."""
    panels = {metric: bands for metric, bands in _bands(block, comparison).items() if bands}
    if not panels:
        return None
    with style.styled(ink):
        legend_height = style.LEGEND_LINE * math.ceil(len(block.arms) / (2 if stacked else 3))
        rows, columns = (len(panels), 1) if stacked else (1, max(2, len(panels)))
        height = HEIGHT * rows + legend_height
        width = style.STACKED_WIDTH if stacked else style.FIGURE_WIDTH
        figure = Figure(figsize=(width, height))
        left, bottom, top = 0.07 * style.FIGURE_WIDTH / width, 0.56 + legend_height, 0.26
        figure.subplots_adjust(left=left, right=0.99, top=1 - top / height,
                               bottom=bottom / height, wspace=0.18, hspace=0.34)  # fmt: skip
        every_axes = figure.subplots(rows, columns, squeeze=False).flatten()
        for axes in every_axes[len(panels) :]:
            axes.set_axis_off()
        for axes, (metric, bands) in zip(every_axes, panels.items(), strict=False):
            is_asked = metric.rsplit("/", 1)[-1] == comparison.question.metric.rsplit("/", 1)[-1]
            unit = formatting.unit(comparison.question if is_asked else metric)
            _draw_panel(axes, metric, bands, block, unit)
        drawn = sorted({index for bands in panels.values() for index in bands})
        handles = [Line2D([], [], color=style.color(index), linewidth=1.6) for index in drawn]
        labels = [style.one_line_label(block.arms[index].label) for index in drawn]
        figure.legend(handles, labels, loc="lower left", ncols=2 if stacked else 3, frameon=False,
                      bbox_to_anchor=(0.06, 0.0), borderaxespad=0.2)  # fmt: skip
    return figure


def shows_bands(block: Block) -> bool:
    """Whether the curves of a block have bands; of very many arms they would hide each other."""
    return len(block.arms) <= BANDS


def _bands(block: Block, comparison: Comparison) -> dict[str, dict[int, Band]]:
    """By metric and index of the arm: on validation data and the training loss beside it."""
    stage = "val" if "best" in block.checkpoints else "train"
    name = comparison.question.metric.rsplit("/", 1)[-1]
    metrics = dict.fromkeys([f"{stage}/{name}", f"{stage}/loss", "train/loss"])
    bands: dict[str, dict[int, Band]] = {metric: {} for metric in metrics}
    for index, arm in enumerate(block.arms):
        logged = [read_metrics(run, metrics) for run in finished(arm.runs) if run.is_plain]
        for metric in metrics:
            found = average([curve[metric] for curve in logged if metric in curve])
            if found is not None:
                bands[metric][index] = found
    return bands


def _draw_panel(
    axes: Axes, metric: str, bands: Mapping[int, Band], block: Block, unit: formatting.Unit
) -> None:
    for index, band in bands.items():
        color = style.color(index)
        is_point = len(band.epochs) == 1  # a line of one epoch is invisible
        epochs = band.epochs + 1  # as people count
        best = None if metric.startswith("train/") else _best_epoch(block.arms[index])
        dots = [place for place, epoch in enumerate(epochs) if is_point or epoch == best]
        axes.plot(
            epochs, band.mean * unit.factor, color=color, linewidth=1.6, marker="o", markersize=5,
            markevery=dots,
        )  # fmt: skip
        if shows_bands(block):
            low, high = band.low * unit.factor, band.high * unit.factor
            if is_point:
                axes.vlines(epochs, low, high, color=color, alpha=0.5, linewidth=1.6)
            axes.fill_between(epochs, low, high, color=color, alpha=0.18, linewidth=0)
        off_after = finite_number(block.arms[index].settings.get("mixing.schedule.off_after"))
        if off_after is not None:
            off = off_after * (band.epochs[-1] + 1) + 0.5  # mixing is off from this epoch on
            axes.axvline(off, color=color, linewidth=1, linestyle=":")
    low, high = _interesting(list(bands.values()), unit.factor)
    axes.set_ylim(low, high)
    axes.set_title(formatting.joined(metric, unit.name), loc="left", fontsize=10)
    if any(_leaves(band, low / unit.factor, high / unit.factor) for band in bands.values()):
        axes.set_title("first epochs are cut off", loc="right", fontsize=8)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(linewidth=0.5, alpha=0.25)


def _best_epoch(arm: Arm) -> int | None:
    """The median over the runs of the epoch that was chosen, counted from 1."""
    chosen = [best for run in finished(arm.runs) if (best := cautions.best_epoch(run))]
    return statistics.median_low(chosen) if chosen else None


def _leaves(band: Band, low: float, high: float) -> bool:
    """Whether a band goes beyond the limits."""
    return bool(band.low.min() < low or band.high.max() > high)


def _interesting(bands: Sequence[Band], factor: float) -> tuple[float, float]:
    """Limits that leave out the first quarter of training, whose steep start hides the rest."""
    starts = [len(band.epochs) // 4 for band in bands]
    low = min(band.low[start:].min() for band, start in zip(bands, starts, strict=True)) * factor
    high = max(band.high[start:].max() for band, start in zip(bands, starts, strict=True)) * factor
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room
