"""The files of a report: page, table, figure."""

import os
from collections.abc import Sequence
from pathlib import Path

from mixlab.reporting import figures, page, tables
from mixlab.reporting.comparison import Comparison
from mixlab.runs.files import write_text

FIGURE = "report.png"


def write(comparison: Comparison, folder: Path, command: Sequence[str]) -> Path:
    """Write report.html, report.md, report.csv and report.png; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    has_figure = _write_figure(comparison, folder / FIGURE)
    write_text(folder / "report.csv", tables.csv_text(comparison))
    write_text(folder / "report.md", tables.markdown(comparison, FIGURE if has_figure else None))
    write_text(folder / "report.html", page.render(comparison, command))
    return folder / "report.html"


def _write_figure(comparison: Comparison, path: Path) -> bool:
    """Draw every block that has results; a figure of an earlier report does not stay."""
    blocks = [block for block in comparison.blocks if block.checkpoints]
    if not blocks:
        path.unlink(missing_ok=True)
        return False
    drawn = figures.overview(blocks, comparison, ink=figures.PAPER_INK)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(figures.to_png(drawn))
    part.replace(path)
    return True
