"""The files of a report: page, table, figure."""

from collections.abc import Sequence
from pathlib import Path

from mixlab.reporting import export, forest_plot, html, style
from mixlab.reporting.comparison import Block, Comparison
from mixlab.runs.atomic import write_bytes, write_text

FIGURE, MAX_BLOCKS = "report.png", 12  # blocks in the figure; the page has them all


def write(comparison: Comparison, folder: Path, command: Sequence[str]) -> Path:
    """Write report.html, report.md, report.csv and report.png; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [block for block in comparison.blocks if block.is_comparison][:MAX_BLOCKS]
    _write_figure(blocks, comparison, folder / FIGURE)
    write_text(folder / "report.csv", export.csv_text(comparison))
    write_text(folder / "report.md", export.markdown(comparison, _image(blocks, comparison)))
    write_text(folder / "report.html", html.render(comparison, command))
    return folder / "report.html"


def _image(blocks: Sequence[Block], comparison: Comparison) -> str:
    """The figure in Markdown, and how much of the comparison it shows."""
    if not blocks:
        return ""
    total = len(comparison.blocks)
    part = f" (the first {len(blocks)} of {total})" if len(blocks) < total else ""
    return f"![every run, and the differences with their intervals{part}]({FIGURE})"


def _write_figure(blocks: Sequence[Block], comparison: Comparison, path: Path) -> None:
    """Draw the blocks; where there are none, a figure of an earlier report does not stay."""
    if not blocks:
        path.unlink(missing_ok=True)
        return
    figure = forest_plot.draw_forest(blocks, comparison, ink=style.PAPER_INK)
    write_bytes(path, style.to_png(figure))
