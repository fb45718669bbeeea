"""The tables of a report: their cells as text, and the same tables for a terminal."""

from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from mixlab.reporting import by_class, formatting, sentences
from mixlab.reporting.abridged import MOST_ARMS, abridged
from mixlab.reporting.comparison import Arm, Block, Comparison

NUMERIC = ("runs", "baseline", "mean", "difference", "pairs", "p", "r", "mixed", "cost")
KEEP_WHOLE = 30  # letters: shorter words are not broken, as arms may differ only at the end
STYLES = {
    "better": "bold green", "worse": "bold red", "leans better": "dim", "leans worse": "dim",
    "baseline": "dim",
}  # fmt: skip


def columns(block: Block, comparison: Comparison) -> dict[str, str]:
    """The columns a block needs, and their headings."""
    in_unit = formatting.unit(comparison.question)
    headings = {
        "arm": "arm", "at": "at", "runs": "runs", "mean": "mean ± sd",
        "difference": f"{formatting.joined('difference', in_unit.of_difference)} [95 %]",
        "pairs": "pairs", "p": "p (Holm)", "r": "r", "verdict": "verdict", "mixed": "mixed",
        "cost": "time/epoch",
    }  # fmt: skip
    if not block.shows_mixed:
        del headings["mixed"]
    if len(block.arms) < 2 or block.baseline is None:
        few = ("arm", "at", "runs", "mean", "mixed", "cost")
        return {key: headings[key] for key in few if key in headings}
    return headings


def table_rows(block: Block, comparison: Comparison) -> list[dict[str, str]]:
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
    result, in_unit = arm.results.get(checkpoint), formatting.unit(comparison.question)
    row = {"arm": arm.label if is_first else "", "at": checkpoint}
    if result is None:
        return row | {"runs": "0", "verdict": "no results"}
    cost = formatting.seconds(arm.cost)
    if arm.cost_ratio is not None and arm is not block.baseline:
        cost += f" x{arm.cost_ratio:.2f}"
    n, found = result.summary.n, len(arm.runs)
    row |= {
        "runs": str(n) if n == found else f"{n}/{found}",
        "mean": in_unit.spread(result.summary.mean, result.summary.sd),
        "mixed": formatting.share(arm.mixed) if is_first else "",
        "cost": cost if is_first else "",
        "verdict": result.verdict if block.baseline else "",
    }
    if arm is block.baseline or block.baseline is None or not n:
        return row
    difference = result.difference
    return row | {
        "difference": in_unit.difference(difference.mean, difference.low, difference.high),
        "pairs": str(difference.n),
        "p": formatting.p_value(result.p_holm, difference.n),
        "r": formatting.correlation(difference.correlation),
    }


@dataclass(frozen=True)
class SweepSummary:
    """Blocks as rows, arms as columns: an overview of several blocks."""

    labels: list[str]
    rows: list[tuple[str, dict[str, tuple[str, str]]]]  # title; difference and verdict by label
    caption: str


def sweep_summary(comparison: Comparison) -> SweepSummary | None:
    """Differences at the headline's checkpoint; None for a single block."""
    blocks, in_unit = comparison.blocks, formatting.unit(comparison.question)
    if len(blocks) < 2:
        return None
    rows = [
        (block.title, {arm.label: _summary_cell(arm, block, in_unit) for arm in block.arms})
        for block in blocks
    ]
    metric = formatting.metric_words(comparison.question)
    caption = f"{metric}: the baseline's mean, and each arm's difference to it with the verdict."
    labels = list(dict.fromkeys(label for _, cells in rows for label in cells))
    if len(labels) > MOST_ARMS:
        caption += f" The first {MOST_ARMS} of {len(labels)} arms."
        labels = labels[:MOST_ARMS]
    return SweepSummary(labels, rows, caption)


def _summary_cell(arm: Arm, block: Block, in_unit: formatting.Unit) -> tuple[str, str]:
    result = arm.results.get(block.headline)
    if result is None or not result.summary.n:
        return "no results", ""
    if arm is block.baseline or block.baseline is None:
        return in_unit.level(result.summary.mean), ""
    return f"{in_unit.change(result.difference.mean)} {result.verdict}", result.verdict


def render(comparison: Comparison) -> RenderableType:
    """Tables and notes for rich. Names are printed as they are, never read as markup."""
    parts: list[RenderableType] = []
    comparison = abridged(comparison)
    for block in comparison.blocks:
        if answer := sentences.answer(block, comparison):
            parts.append(Text(answer, style="bold"))
        title = (block.title, f"  {formatting.metric_words(comparison.question)}")
        parts.append(_rich(title, columns(block, comparison), table_rows(block, comparison)))
        parts += [*map(_rich_note, block.notes), Text()]
    if overall := sweep_summary(comparison):
        parts += [_rich_summary(overall), Text()]
    parts += map(_rich_note, comparison.notes)
    parts += [Text(sentence, style="dim") for sentence in sentences.reading(comparison)]
    return Group(*parts, Text(formatting.run_counts(comparison)))


def render_classes(comparison: Comparison) -> RenderableType:
    """A table of classes for each block, and how to read it."""
    parts: list[RenderableType] = []
    for block in abridged(comparison).blocks:
        if found := by_class.class_rows(block):
            title = (block.title, f"  class by class, {block.headline}")
            parts.append(_rich(title, by_class.HEADINGS, found))
    return Group(*parts, Text(by_class.READING, style="dim"))


def _rich(title: tuple[str, str], headings: dict[str, str], rows: list[dict[str, str]]) -> Table:
    """A table with a heading for each key of its rows, under a title that begins bold."""
    name, rest = title
    table = Table(title=Text.assemble((name, "bold"), rest), title_justify="left",
                  box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))  # fmt: skip
    for key, heading in headings.items():
        wraps = key in ("arm", "verdict")
        words = " ".join(row.get(key, "") for row in rows).split() if wraps else []
        width = min(max(map(len, words), default=0), KEEP_WHOLE)
        table.add_column(heading, justify="right" if key in NUMERIC else "left",
                         no_wrap=not wraps, overflow="fold", min_width=width or None)  # fmt: skip
    for row in rows:
        style = STYLES.get(row.get("verdict", ""), "")
        table.add_row(*(Text(row.get(key, ""), style=style if key == "verdict" else "")
                        for key in headings))  # fmt: skip
    return table


@dataclass(frozen=True)
class _IfItFits:
    """A table where the terminal has room for its longest words, else a sentence."""

    table: Table
    else_said: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        anywhere = options.update(width=10_000)
        needed = Measurement.get(console, anywhere, self.table).minimum
        yield self.table if needed <= options.max_width else Text(self.else_said)


def _rich_summary(overall: SweepSummary) -> _IfItFits:
    table = Table(title=Text(overall.caption), title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("", *overall.labels):
        cells = [words for _, found in overall.rows for words in found.get(heading, ("",))]
        width = max(map(len, " ".join([heading, *cells]).split()), default=None)
        table.add_column(Text(heading), overflow="fold", min_width=width)
    for title, cells in overall.rows:
        found = [cells.get(label, ("", "")) for label in overall.labels]
        table.add_row(Text(title), *(Text(words, STYLES.get(key, "")) for words, key in found))
    return _IfItFits(
        table,
        f"The overview of {len(overall.rows)} blocks and {len(overall.labels)} arms is wider than "
        "this terminal; the report's page and --format markdown have it.",
    )


def _rich_note(note: str) -> Text:
    return Text.assemble(("! ", "yellow"), note)
