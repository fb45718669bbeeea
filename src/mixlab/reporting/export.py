"""The comparison as Markdown and as CSV."""

import csv
import io
import math
import re
from collections.abc import Iterator
from typing import Any

from mixlab.reporting import by_class, formatting, tables
from mixlab.reporting.comparison import Arm, Block, Comparison

CSV_COLUMNS: tuple[str, ...] = (
    "block", "arm", "hash", "baseline", "checkpoint", "metric", "runs_found", "runs", "mean", "sd",
    "pairs", "difference", "low", "high", "p", "p_holm", "p_sign_flip", "correlation",
    "detectable", "verdict", "seconds_per_epoch", "cost_ratio",
)  # fmt: skip


def markdown(comparison: Comparison, figure: str = "") -> str:
    """The report as Markdown; `figure` is the line that shows its figure."""
    lines = [f"# {_plain(formatting.metric_words(comparison.question))}", ""]
    lines += [figure, ""] if figure else []
    lines += _markdown_summary(tables.sweep_summary(comparison))
    for block in comparison.blocks:
        lines += [f"## {_plain(block.title)}", "", *_markdown_table(block, comparison), ""]
        lines += [f"- {_plain(note)}" for note in block.notes] + [""] * bool(block.notes)
    lines += [f"- {_plain(note)}" for note in comparison.notes] + [""] * bool(comparison.notes)
    lines += [
        *map(_plain, formatting.reading(comparison)),
        "",
        formatting.run_counts(comparison),
        "",
    ]
    return "\n".join(lines)


def _markdown_summary(overall: tables.SweepSummary | None) -> Iterator[str]:
    if overall is not None:
        yield f"| | {' | '.join(map(_plain, overall.labels))} |"
        yield f"| --- | {' | '.join('---' for _ in overall.labels)} |"
        for title, cells in overall.rows:
            words = [_plain(cells.get(label, ("", ""))[0]) for label in overall.labels]
            yield f"| {_plain(title)} | {' | '.join(words)} |"
        yield from ("", _plain(overall.caption), "")


def _markdown_table(block: Block, comparison: Comparison) -> Iterator[str]:
    yield from _markdown_cells(
        tables.columns(block, comparison), tables.table_rows(block, comparison)
    )


def markdown_classes(comparison: Comparison) -> str:
    """The accuracy of each class, block by block, as Markdown."""
    lines = []
    for block in comparison.blocks:
        if found := by_class.class_rows(block):
            lines += [f"## {_plain(block.title)}, class by class ({block.headline})", ""]
            lines += [*_markdown_cells(by_class.HEADINGS, found), ""]
    return "\n".join([*lines, _plain(by_class.READING), ""])


def _markdown_cells(headings: dict[str, str], rows: list[dict[str, str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings.values())} |"
    yield f"| {' | '.join('---:' if key in tables.NUMERIC else '---' for key in headings)} |"
    for row in rows:
        yield f"| {' | '.join(_plain(row.get(key, '')) for key in headings)} |"


def _plain(words: str) -> str:
    """Text that Markdown shows as it is: no tags, links, code or table cells of its own."""
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*|])", r"\\\1", words).replace("](", "]\\(")


def csv_text(comparison: Comparison) -> str:
    """One line per arm and checkpoint, in the metric's own unit; empty where there is nothing."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for block in comparison.blocks:
        for arm in block.arms:
            for checkpoint in block.checkpoints:
                writer.writerow(_csv_row(arm, checkpoint, block, comparison))
    return file.getvalue()


def _csv_row(arm: Arm, checkpoint: str, block: Block, comparison: Comparison) -> dict[str, Any]:
    result = arm.results[checkpoint]
    row = {
        "block": block.title, "arm": arm.label, "hash": arm.runs[0].arm,
        "baseline": block.baseline.label if block.baseline else "", "checkpoint": checkpoint,
        "metric": comparison.question.metric, "runs_found": len(arm.runs),
        "runs": result.summary.n, "mean": result.summary.mean, "sd": result.summary.sd,
        "verdict": result.verdict, "seconds_per_epoch": arm.cost, "cost_ratio": arm.cost_ratio,
    }  # fmt: skip
    if arm is not block.baseline:
        difference = result.difference
        row |= {
            "pairs": difference.n, "difference": difference.mean, "low": difference.low,
            "high": difference.high, "p": difference.p, "p_holm": result.p_holm,
            "p_sign_flip": difference.p_sign_flip, "correlation": difference.correlation,
            "detectable": difference.detectable,
        }  # fmt: skip
    return {key: _csv_cell(value) for key, value in row.items()}


def _csv_cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.8g}" if math.isfinite(value) else ""
    if isinstance(value, str) and value[:1] in ("=", "+", "@"):
        return f"'{value}"  # a spreadsheet would run it
    return value
