"""The files of a report: the page, Markdown, CSV and a figure."""

import csv
import io
import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixlab.reporting import by_class, forest_plot, formatting, html, sentences, style, tables
from mixlab.reporting.abridged import abridged
from mixlab.reporting.comparison import Arm, Block, Comparison
from mixlab.runs.atomic import write_bytes

PAGE, FIGURE = "report.html", "report.png"
MAX_BLOCKS, MAX_ROWS = 12, 300  # blocks and arms in the figure; the page has more
CSV_COLUMNS: tuple[str, ...] = (
    "block", "arm", "hash", "baseline", "checkpoint", "metric", "runs_found", "runs", "mean", "sd",
    "pairs", "difference", "low", "high", "p", "p_holm", "p_sign_flip", "correlation",
    "detectable", "verdict", "seconds_per_epoch", "cost_ratio", "mixed_share",
)  # fmt: skip


def write_report(comparison: Comparison, folder: Path, command: Sequence[str]) -> Path:
    """Write the files of a report; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FIGURE).unlink(missing_ok=True)  # of an earlier report
    for name, content in report_files(comparison, command, folder).items():
        write_bytes(folder / name, content)
    return folder / PAGE


def report_files(
    comparison: Comparison, command: Sequence[str], folder: Path | None = None
) -> dict[str, bytes]:
    """report.csv, .md, .html (see `html.render`), and .png if arms are compared."""
    blocks = drawn_blocks(abridged(comparison))
    image, files = "", dict[str, bytes]()
    if blocks:
        figure = forest_plot.draw_forest(blocks, comparison, ink=style.PAPER_INK)
        files[FIGURE] = style.to_png(figure)
        total = len(comparison.blocks)
        part = f" (the first {len(blocks)} of {total})" if len(blocks) < total else ""
        image = f"![every run, and the differences with their intervals{part}]({FIGURE})"
    texts = {
        "report.csv": csv_text(comparison),
        "report.md": markdown(comparison, image),
        PAGE: html.render(comparison, command, folder),
    }
    return files | {name: text.encode() for name, text in texts.items()}


def drawn_blocks(comparison: Comparison) -> list[Block]:
    """The first blocks that compare arms, as many as fit into one figure; at least one."""
    compared = [block for block in comparison.blocks if block.is_comparison][:MAX_BLOCKS]
    rows = itertools.accumulate(len(block.arms) for block in compared)
    return [
        block
        for block, so_far in zip(compared, rows, strict=True)
        if so_far <= MAX_ROWS or block is compared[0]
    ]


def markdown(comparison: Comparison, figure: str = "") -> str:
    """The report as Markdown; `figure` is the line that shows its figure."""
    comparison = abridged(comparison)
    found = [sentences.answer(block, comparison) for block in comparison.blocks]
    answers = "\n".join(f"- {_plain(answer)}" for answer in found if answer)
    parts = [f"# {_plain(formatting.metric_words(comparison.question))}", answers, figure]
    if overall := tables.sweep_summary(comparison):
        parts += [_markdown_summary(overall), _plain(overall.caption)]
    for block in comparison.blocks:
        headings, rows = tables.columns(block, comparison), tables.table_rows(block, comparison)
        parts += [f"## {_plain(block.title)}", _markdown_table(headings, rows)]
        parts.append("\n".join(f"- {_plain(note)}" for note in block.notes))
    parts.append("\n".join(f"- {_plain(note)}" for note in comparison.notes))
    parts.append("\n".join(map(_plain, sentences.reading(comparison))))
    parts.append(formatting.run_counts(comparison))
    return "\n\n".join(filter(None, parts)) + "\n"


def markdown_classes(comparison: Comparison) -> str:
    """The accuracy of each class, block by block, as Markdown."""
    parts = []
    for block in abridged(comparison).blocks:
        if rows := by_class.class_rows(block):
            parts.append(f"## {_plain(block.title)}, class by class ({block.headline})")
            parts.append(_markdown_table(by_class.HEADINGS, rows))
    return "\n\n".join([*parts, _plain(by_class.READING)]) + "\n"


def _markdown_summary(overall: tables.SweepSummary) -> str:
    labels = overall.labels
    rows = [["", *labels], ["---"] * (len(labels) + 1)]
    for title, cells in overall.rows:
        rows.append([title, *(cells.get(label, ("", ""))[0] for label in labels)])
    return "\n".join(f"| {' | '.join(map(_plain, row))} |" for row in rows)


def _markdown_table(headings: dict[str, str], rows: list[dict[str, str]]) -> str:
    lines = [
        f"| {' | '.join(headings.values())} |",
        f"| {' | '.join('---:' if key in tables.NUMERIC else '---' for key in headings)} |",
    ]
    for row in rows:
        lines.append(f"| {' | '.join(_plain(row.get(key, '')) for key in headings)} |")
    return "\n".join(lines)


def _plain(words: str) -> str:
    """Text that Markdown shows as it is: no tags, links, code or table cells of its own."""
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*|])", r"\\\1", words).replace("](", "]\\(")


def csv_text(comparison: Comparison) -> str:
    """One line per arm and checkpoint, in the metric's own unit; empty where there is nothing."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in comparison_rows(comparison):
        writer.writerow({key: _csv_cell(value) for key, value in row.items()})
    return file.getvalue()


def comparison_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """The values of each arm and checkpoint, by `CSV_COLUMNS`; the baseline has fewer."""
    return [
        _values_of(arm, checkpoint, block, comparison)
        for block in comparison.blocks
        for arm in block.arms
        for checkpoint in block.checkpoints
    ]


def _values_of(arm: Arm, checkpoint: str, block: Block, comparison: Comparison) -> dict[str, Any]:
    result = arm.results[checkpoint]
    row = {
        "block": block.title, "arm": arm.label, "hash": arm.runs[0].arm,
        "baseline": block.baseline.label if block.baseline else "", "checkpoint": checkpoint,
        "metric": comparison.question.metric, "runs_found": len(arm.runs),
        "runs": result.summary.n, "mean": result.summary.mean, "sd": result.summary.sd,
        "verdict": result.verdict, "seconds_per_epoch": arm.cost, "cost_ratio": arm.cost_ratio,
        "mixed_share": arm.mixed,
    }  # fmt: skip
    if arm is not block.baseline:
        difference = result.difference
        row |= {
            "pairs": difference.n, "difference": difference.mean, "low": difference.low,
            "high": difference.high, "p": difference.p, "p_holm": result.p_holm,
            "p_sign_flip": difference.p_sign_flip, "correlation": difference.correlation,
            "detectable": difference.detectable,
        }  # fmt: skip
    return row


def _csv_cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.8g}" if math.isfinite(value) else ""
    return formatting.spreadsheet_text(value) if isinstance(value, str) else value
