"""The comparison on a terminal. Names are printed as they are, never read as markup."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mixlab.reporting import by_class, formatting, tables
from mixlab.reporting.comparison import Block, Comparison

KEEP_WHOLE = 30  # letters of a word that stays on its line: of arms the end may be all that differs
STYLES = {
    "better": "bold green", "worse": "bold red", "leans better": "dim", "leans worse": "dim",
    "baseline": "dim",
}  # fmt: skip


def render(comparison: Comparison) -> RenderableType:
    """Tables and notes for rich. Names are printed as they are, never read as markup."""
    parts: list[RenderableType] = []
    for block in comparison.blocks:
        parts += [_rich_table(block, comparison), *map(_rich_note, block.notes), Text()]
    overall = tables.sweep_summary(comparison)
    parts += [_rich_summary(overall), Text()] if overall else []
    parts += map(_rich_note, comparison.notes)
    parts += [Text(sentence, style="dim") for sentence in formatting.reading(comparison)]
    return Group(*parts, Text(formatting.run_counts(comparison)))


def _rich_table(block: Block, comparison: Comparison) -> Table:
    metric = formatting.metric_words(comparison.question)
    title = Text.assemble((block.title, "bold"), f"  {metric}")
    return _cells(title, tables.columns(block, comparison), tables.table_rows(block, comparison))


def render_classes(comparison: Comparison) -> RenderableType:
    """A table of classes for each block, and how to read it."""
    parts: list[RenderableType] = []
    for block in comparison.blocks:
        title = Text.assemble((block.title, "bold"), f"  class by class, {block.headline}")
        if found := by_class.class_rows(block):
            parts.append(_cells(title, by_class.HEADINGS, found))
    return Group(*parts, Text(by_class.READING, style="dim"))


def _cells(title: Text, headings: dict[str, str], rows: list[dict[str, str]]) -> Table:
    """A table with a heading for each key of its rows."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for key, heading in headings.items():
        justify = "right" if key in tables.NUMERIC else "left"
        wraps = key in ("arm", "verdict")
        words = " ".join(row.get(key, "") for row in rows).split() if wraps else []
        width = min(max(map(len, words), default=0), KEEP_WHOLE)
        table.add_column(
            heading, justify=justify, no_wrap=not wraps, overflow="fold", min_width=width or None
        )
    for row in rows:
        style = STYLES.get(row.get("verdict", ""), "")
        table.add_row(*(Text(row.get(key, ""), style=style if key == "verdict" else "")
                        for key in headings))  # fmt: skip
    return table


def _rich_summary(overall: tables.SweepSummary) -> Table:
    table = Table(title=Text(overall.caption), title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("", *overall.labels):
        table.add_column(Text(heading), overflow="fold")
    for title, cells in overall.rows:
        found = [cells.get(label, ("", "")) for label in overall.labels]
        table.add_row(Text(title), *(Text(words, STYLES.get(key, "")) for words, key in found))
    return table


def _rich_note(note: str) -> Text:
    return Text.assemble(("! ", "yellow"), note)
