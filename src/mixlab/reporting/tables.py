"""The comparison as a table: for a terminal, as Markdown and as CSV."""

import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mixlab.reporting import text
from mixlab.reporting.comparison import Arm, Block, Comparison

STYLES = {
    "better": "bold green", "leans better": "green", "worse": "bold red", "leans worse": "red",
    "baseline": "dim",
}  # fmt: skip
NUMERIC = ("runs", "mean", "difference", "pairs", "p", "r", "cost")
CSV_COLUMNS = (
    "block", "arm", "hash", "baseline", "checkpoint", "metric", "runs_found", "runs", "mean", "sd",
    "pairs", "difference", "low", "high", "p", "p_holm", "p_sign_flip", "correlation",
    "detectable", "verdict", "seconds_per_epoch", "cost_ratio",
)  # fmt: skip


def rows(block: Block, comparison: Comparison) -> list[dict[str, str]]:
    """A row per arm and checkpoint, best above last, every cell as it is shown."""
    checkpoints = block.checkpoints or ("last",)
    return [
        _row(arm, checkpoint, block, comparison, is_first=checkpoint == checkpoints[0])
        for arm in block.arms
        for checkpoint in checkpoints
    ]


def _row(
    arm: Arm, checkpoint: str, block: Block, comparison: Comparison, *, is_first: bool
) -> dict[str, str]:
    result, in_unit = arm.results.get(checkpoint), text.unit(comparison.question.metric)
    is_baseline = arm is block.baseline
    cost = f"{text.seconds(arm.cost)} {text.ratio(arm.cost_ratio)}"
    row = {"arm": arm.label if is_first else "", "at": checkpoint}
    if result is None:
        return row | {"runs": "0", "verdict": "no results"}
    found = len(arm.runs)
    n = result.summary.n
    row |= {
        "runs": str(n) if n == found else f"{n}/{found}",
        "mean": in_unit.spread(result.summary.mean, result.summary.sd),
        "cost": (text.seconds(arm.cost) if is_baseline else cost) if is_first else "",
        "verdict": result.verdict if block.baseline else "",
    }
    if is_baseline or block.baseline is None:
        return row
    difference = result.difference
    return row | {
        "difference": in_unit.difference(difference.mean, difference.low, difference.high),
        "pairs": str(difference.n),
        "p": text.p_value(result.p_holm),
        "r": text.correlation(difference.correlation),
    }


def columns(block: Block, comparison: Comparison) -> dict[str, str]:
    """The columns a block needs, and their headings."""
    in_unit = text.unit(comparison.question.metric)
    headings = {
        "arm": "arm", "at": "at", "runs": "runs", "mean": "mean ± sd",
        "difference": f"difference, {in_unit.of_difference} [95 %]".replace(", [", " ["),
        "pairs": "pairs", "p": "p (Holm)", "r": "r", "verdict": "verdict", "cost": "time/epoch",
    }  # fmt: skip
    if len(block.arms) < 2 or block.baseline is None:
        alone = ("arm", "at", "runs", "mean", "cost")
        return {key: headings[key] for key in alone}
    return headings


@dataclass(frozen=True)
class Summary:
    """Blocks down, arms across: what to look at first where there are several blocks."""

    labels: list[str]
    rows: list[tuple[str, dict[str, tuple[str, str]]]]  # title; difference and verdict by label
    caption: str


def summary(comparison: Comparison) -> Summary | None:
    """Differences at the headline's checkpoint; None for a single block."""
    blocks, in_unit = comparison.blocks, text.unit(comparison.question.metric)
    if len(blocks) < 2:
        return None
    rows = [
        (block.title, {arm.label: _summary_cell(arm, block, in_unit) for arm in block.arms})
        for block in blocks
    ]
    metric = text.metric_words(comparison.question)
    caption = f"{metric}: the baseline's mean, and each arm's difference to it with the verdict."
    return Summary(
        list(dict.fromkeys(label for _, cells in rows for label in cells)), rows, caption
    )


def _summary_cell(arm: Arm, block: Block, in_unit: text.Unit) -> tuple[str, str]:
    result = arm.results.get(block.headline)
    if result is None or not result.summary.n:
        return "no results", ""
    if arm is block.baseline or block.baseline is None:
        return in_unit.level(result.summary.mean), ""
    return f"{in_unit.change(result.difference.mean)} {result.verdict}", result.verdict


def terminal(comparison: Comparison) -> RenderableType:
    """Tables and notes for rich. Names are printed as they are, never read as markup."""
    parts: list[RenderableType] = []
    for block in comparison.blocks:
        parts += [_rich_table(block, comparison), *map(_rich_note, block.notes), Text()]
    overall = summary(comparison)
    parts += [_rich_summary(overall), Text()] if overall else []
    parts += map(_rich_note, comparison.notes)
    parts += [Text(sentence, style="dim") for sentence in text.reading(comparison)]
    return Group(*parts, Text(text.counts(comparison)))


def _rich_table(block: Block, comparison: Comparison) -> Table:
    metric = text.metric_words(comparison.question)
    title = Text.assemble((block.title, "bold"), f"  {metric}")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    headings = columns(block, comparison)
    for key, heading in headings.items():
        justify = "right" if key in NUMERIC else "left"
        table.add_column(heading, justify=justify, no_wrap=key not in ("arm", "verdict"))
    for row in rows(block, comparison):
        style = STYLES.get(row.get("verdict", ""), "")
        table.add_row(*(Text(row.get(key, ""), style=style if key == "verdict" else "")
                        for key in headings))  # fmt: skip
    return table


def _rich_summary(overall: Summary) -> Table:
    table = Table(title=Text(overall.caption), title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("", *overall.labels):
        table.add_column(Text(heading), overflow="fold")
    for title, cells in overall.rows:
        found = [cells.get(label, ("", "")) for label in overall.labels]
        table.add_row(Text(title), *(Text(words, STYLES.get(key, "")) for words, key in found))
    return table


def _rich_note(note: str) -> Text:
    return Text.assemble(("! ", "yellow"), note)


def markdown(comparison: Comparison, figure: str | None = None) -> str:
    """The report as Markdown, with a link to its figure."""
    lines = [f"# {_plain(text.metric_words(comparison.question))}", ""]
    lines += [f"![every seed, and differences with intervals]({figure})", ""] if figure else []
    lines += _markdown_summary(summary(comparison))
    for block in comparison.blocks:
        lines += [f"## {_plain(block.title)}", "", *_markdown_table(block, comparison), ""]
        lines += [f"- {_plain(note)}" for note in block.notes] + [""] * bool(block.notes)
    lines += [f"- {_plain(note)}" for note in comparison.notes] + [""] * bool(comparison.notes)
    lines += [*map(_plain, text.reading(comparison)), "", text.counts(comparison), ""]
    return "\n".join(lines)


def _markdown_summary(overall: Summary | None) -> Iterator[str]:
    if overall is not None:
        yield f"| | {' | '.join(map(_plain, overall.labels))} |"
        yield f"| --- | {' | '.join('---' for _ in overall.labels)} |"
        for title, cells in overall.rows:
            words = [_plain(cells.get(label, ("", ""))[0]) for label in overall.labels]
            yield f"| {_plain(title)} | {' | '.join(words)} |"
        yield from ("", _plain(overall.caption), "")


def _markdown_table(block: Block, comparison: Comparison) -> Iterator[str]:
    headings = columns(block, comparison)
    yield f"| {' | '.join(headings.values())} |"
    yield f"| {' | '.join('---:' if key in NUMERIC else '---' for key in headings)} |"
    for row in rows(block, comparison):
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
