"""The report as one HTML file that needs nothing else: no scripts, no network, no other files."""

import os
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from matplotlib.figure import Figure

from mixlab.reporting import (
    cautions,
    caveats,
    class_plot,
    curves,
    forest_plot,
    formatting,
    price_plot,
    sentences,
    shared,
    strips,
    style,
    tables,
)
from mixlab.reporting.abridged import abridged
from mixlab.reporting.comparison import Arm, Block, Comparison
from mixlab.reporting.pairing import Question
from mixlab.runs.records import StoredRun, finite_number, one_line, shown_path
from mixlab.runs.status import Status

MOST_LISTED = 1000  # runs on the page
TONES = {"better": "good", "worse": "bad", "leans better": "lean", "leans worse": "lean"}


def render(comparison: Comparison, command: Sequence[str], folder: Path | None = None) -> str:
    """The page; it shows `command` as the way to make it again.

    In a `folder` it links to the folders of the runs and to the other files of the report.
    """
    comparison = abridged(comparison)
    pictures = strips.block_strips(comparison.blocks)
    return _template().render(
        title=_title(comparison),
        metric=formatting.metric_words(comparison.question),
        made=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        counts=formatting.run_counts(comparison),
        answers=[a for b in comparison.blocks if (a := sentences.answer(b, comparison))],
        summary=tables.sweep_summary(comparison),
        tones=TONES,
        blocks=[
            _block_context(i, block, comparison) | {"strips": drawn}
            for i, (block, drawn) in enumerate(zip(comparison.blocks, pictures, strict=True))
        ],
        most_strips=strips.MOST_STRIPS if sum(map(len, pictures)) == strips.MOST_STRIPS else 0,
        notes=comparison.notes,
        reading=sentences.reading(comparison),
        ledger=_ledger(comparison, folder),
        unlisted=len(comparison.runs) - len(_listed_runs(comparison.runs)),
        in_folder=folder is not None,
        environment=caveats.environment(comparison.runs),
        commands=_commands(comparison, command),
    )


@cache
def _template() -> Template:
    """Autoescape is always on: names of arms, data and errors can be any text."""
    environment = Environment(
        loader=PackageLoader("mixlab.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def _title(comparison: Comparison) -> str:
    """The sweep's name, or the tasks of the runs."""
    names = [sweep.name for sweep in comparison.sweeps] or sorted(
        {str(run.record["task_name"]) for run in comparison.runs if run.record.get("task_name")}
    )
    return one_line(", ".join(names), 80) or "comparison"


def _block_context(index: int, block: Block, comparison: Comparison) -> dict[str, Any]:
    forests = [None, None]
    if block.is_comparison:
        draw = forest_plot.draw_forest, forest_plot.draw_stacked
        forests = [draw[0]([block], comparison), draw[1](block, comparison)]
    both = (False, True)  # for a desk and stacked
    learning = [curves.draw_curves(block, comparison, stacked=flag) for flag in both]
    prices = [price_plot.draw_price(block, comparison, stacked=flag) for flag in both]
    classes = [class_plot.draw_classes(block, stacked=flag) for flag in both]
    return {
        "id": f"block-{index}",
        "title": block.title,
        "shared": shared.shared(block),
        "verdicts": [_verdict(arm, block, comparison) for arm in block.arms],
        "overview": _svgs(forests, f"overview{index}"),
        "curves": _svgs(learning, f"curves{index}"),
        "price": _svgs(prices, f"price{index}"),
        "classes": _svgs(classes, f"classes{index}"),
        "classes_left_out": class_plot.left_out(block),
        "has_bands": curves.shows_bands(block),
        "is_trained_on": "best" not in block.checkpoints,
        "columns": tables.columns(block, comparison),
        "rows": tables.table_rows(block, comparison),
        "numeric": tables.NUMERIC,
        "notes": block.notes,
        "settings": shared.differing(block),
        "detectable": _detectable(block, comparison),
    }


def _svgs(figures: Sequence[Figure | None], name: str) -> Markup | None:
    """A figure for a desk and the same for a phone, inline; matplotlib escapes the names in it."""
    shown = [
        Markup('<div class="{}">{}</div>').format(look, Markup(style.to_svg(figure, name + look)))
        for look, figure in zip(("wide", "stacked"), figures, strict=True)
        if figure is not None
    ]
    return Markup("").join(shown) or None


def _verdict(arm: Arm, block: Block, comparison: Comparison) -> dict[str, str]:
    """The line of an arm at the top of its block."""
    in_unit, result = formatting.unit(comparison.question), arm.results.get(block.headline)
    has_results = result is not None and result.summary.n > 0
    word = result.verdict if result else "no results"
    if has_results and (block.baseline is None or not block.is_comparison):
        word = ""
    is_compared = has_results and block.baseline is not None and arm is not block.baseline
    return {
        "label": arm.label,
        "level": f"{in_unit.spread(result.summary.mean, result.summary.sd)} {in_unit.name}".rstrip()
        if result and has_results
        else "",
        "word": word,
        "tone": TONES.get(word, ""),
        "sentence": sentences.arm_headline(arm, block, comparison.question) if is_compared else "",
    }


def _detectable(block: Block, comparison: Comparison) -> str:
    """The differences that this many pairs with this spread would detect."""
    in_unit = formatting.unit(comparison.question)
    found = [
        result.difference.detectable
        for arm in block.arms
        if (result := arm.results.get(block.headline)) and result.difference.detectable > 0
    ]
    if not found:
        return ""
    ends = dict.fromkeys((in_unit.level(min(found)), in_unit.level(max(found))))
    return f"{' to '.join(ends)} {in_unit.of_difference}".strip()


def _ledger(comparison: Comparison, folder: Path | None) -> list[dict[str, Any]]:
    """The runs, by block and arm, sorted by seed."""
    order = {place: i for i, place in enumerate(dict.fromkeys(comparison.places.values()))}
    in_order = sorted(
        _listed_runs(comparison.runs),
        key=lambda run: (order[comparison.places[run.place]], run.seed is None, run.seed or 0),
    )
    several = len(comparison.blocks) > 1
    groups = groupby(in_order, key=lambda run: comparison.places[run.place])
    return [
        {
            "arm": f"{block}: {arm}" if several and block else arm,
            "runs": [_line(r, comparison.question, folder) for r in runs],
        }
        for (block, arm), runs in groups
    ]


def _listed_runs(runs: Sequence[StoredRun]) -> Sequence[StoredRun]:
    """All runs; of very many those that did not finish, as these want looking after."""
    if len(runs) <= MOST_LISTED:
        return runs
    return [run for run in runs if run.status != Status.FINISHED][:MOST_LISTED]


def _line(run: StoredRun, question: Question, folder: Path | None) -> dict[str, str]:
    metric = question.metric
    in_unit, epoch = formatting.unit(question), cautions.best_epoch(run)
    epochs = finite_number(run.record.get("epochs"))
    return {
        "seed": formatting.NO_VALUE if run.seed is None else str(run.seed),
        "status": run.status,
        "best": in_unit.level(run.value("best", metric)),
        "last": in_unit.level(run.value("last", metric)),
        "epoch": formatting.NO_VALUE if epoch is None else str(epoch),
        "epochs": formatting.NO_VALUE if epochs is None else f"{epochs:.0f}",
        "time": formatting.seconds(finite_number(run.record.get("seconds"))),
        "started": one_line(run.record.get("started") or formatting.NO_VALUE, 40),
        "folder": shown_path(run.folder),
        "link": quote(Path(os.path.relpath(run.folder, folder)).as_posix()) if folder else "",
        "problem": run.problem,
    }


def _commands(comparison: Comparison, command: Sequence[str]) -> list[str]:
    """The recorded commands that made the runs, and the command that makes this page."""
    recorded = (run.record.get("command") for run in comparison.runs)
    made = [shlex.join(map(str, c)) if isinstance(c, list) else str(c) for c in recorded if c]
    training = list(dict.fromkeys(one_line(line, 1000) for line in made))
    if len(training) > 5:
        training = [*training[:5], f"# and {len(training) - 5} more"]
    return [*training, one_line(shlex.join(command), 1000)]
