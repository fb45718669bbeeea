"""The confusion matrix as a table and as a picture."""

import csv
import io
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from mixlab.reporting import style
from mixlab.reporting.formatting import spreadsheet_text

CORNER = "true \\ predicted"
MOST_COUNTS, MOST_NAMES = 20, 60  # classes with a count in each cell, and with their names
SIDES = 3.6, 13.0  # inches, the shortest and the longest


def confusion_csv(counts: Tensor, names: Sequence[str]) -> str:
    """A line for each true class, a column for each predicted one; `counts` is int64 (C, C)."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    shown = [spreadsheet_text(name) for name in names]
    writer.writerow([CORNER, *shown])
    writer.writerows([name, *row] for name, row in zip(shown, counts.tolist(), strict=True))
    return file.getvalue()


def draw_confusion(counts: Tensor, names: Sequence[str], title: str) -> Figure:
    """Darker where more rows of a true class are; the counts are written in where they fit."""
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    side = min(max(SIDES[0], 0.42 * len(names) + 1.6), SIDES[1])
    with style.styled(style.PAPER_INK):
        figure = Figure(figsize=(side + 0.6, side), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.set_title(title, loc="left", fontsize=9.5)
        if len(names) <= MOST_NAMES:
            labels = [style.one_line_label(name, 24) for name in names]
            longest = max(map(len, labels))
            axes.set_xticks(range(len(names)), labels, rotation=90 if longest > 3 else 0)
            axes.set_yticks(range(len(names)), labels)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(length=0)
        if len(names) <= MOST_COUNTS:
            for true, row in enumerate(counts.tolist()):
                for predicted, count in enumerate(row):
                    ink = "white" if shares[true, predicted] > 0.5 else style.PAPER_INK
                    axes.text(
                        predicted, true, count or "", ha="center", va="center",
                        color=ink, fontsize=8,
                    )  # fmt: skip
    return figure
