"""The style of figures, and their SVG and PNG form."""

import io
import re
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

TEXT_INK = "#010203"  # becomes the page's text color in SVG, so that figures follow light and dark
PAPER_INK = "#1c1e21"  # of the PNG
COLORS = (
    "#7b8490", "#3b7fc4", "#d9742b", "#3b9b6d", "#9467bd", "#c94f6d", "#2a9aa5", "#a88a2b",
    "#6b74d6", "#8c6d5a",
)  # fmt: skip  # the first is the baseline's; all are legible on white and on black
STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "text.parse_math": False,  # names are shown as they are, dollars and all
    "axes.spines.top": False,
    "axes.spines.right": False,
}
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color",
         "grid.color")  # fmt: skip
FIGURE_WIDTH, STACKED_WIDTH = 9.6, 5.0  # inches, of every figure: on a desk, on a phone
LEGEND_LINE = 0.19  # inches
LINE_LETTERS, LONGEST = 34, 44  # letters of a line of a label, and of a label in one line


def styled(ink: str) -> AbstractContextManager[None]:
    """A context in which figures are drawn in our style and in this ink."""
    return rc_context({**STYLE, **dict.fromkeys(INKED, ink)})


def color(index: int) -> str:
    """The color of the index-th arm; only the baseline, at 0, is gray."""
    return COLORS[index] if index < 1 else COLORS[1 + (index - 1) % (len(COLORS) - 1)]


def wrapped_label(label: str) -> str:
    """A label in at most two lines."""
    return textwrap.fill(
        label, LINE_LETTERS, max_lines=2, placeholder="...", break_on_hyphens=False
    )


def one_line_label(label: str, longest: int = LONGEST) -> str:
    """A label in one line."""
    return label if len(label) <= longest else f"{label[: longest - 3]}..."


def legend_below(
    figure: Figure, arms: Sequence[tuple[int, str]], marker: str, columns: int
) -> None:
    """Name arms, given by their index and label, by their marks at the foot of a figure."""
    handles = [
        Line2D([], [], linestyle="", marker=marker, markersize=5, color=color(index),
               label=one_line_label(label))
        for index, label in arms
    ]  # fmt: skip
    figure.legend(handles=handles, loc="lower left", ncols=columns, frameon=False,
                  bbox_to_anchor=(0.06, 0.0), borderaxespad=0.2)  # fmt: skip


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element for a page; `name` makes its ids unique."""
    file = io.StringIO()
    with rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(TEXT_INK, "currentColor")
    return re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)


def to_png(figure: Figure) -> bytes:
    """The figure on white."""
    file = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(file, format="png", dpi=150)
    return file.getvalue()
