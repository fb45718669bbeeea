"""What an evaluation found, for a terminal: one run in sentences, many as a table."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mixlab.runs.records import StoredRun, one_line, shown_path

FIGURE_LETTERS = 6  # letters of a column of figures, so that a narrow terminal breaks none in two
Figures = Mapping[str, Mapping[str, Any]]  # by checkpoint


@dataclass(frozen=True)
class Outcome:
    """One run of several: its figures by checkpoint, or why there are none."""

    run: StoredRun
    figures: Figures = field(default_factory=dict)
    problem: str = ""

    @property
    def at(self) -> str:
        """The checkpoint of the table: the one chosen on validation, if there is one."""
        return "best" if "best" in self.figures else "last"

    @property
    def numbers(self) -> Mapping[str, Any]:
        return without_classes(self.figures[self.at])


def without_classes(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of all classes together."""
    return {key: value for key, value in figures.items() if not key.endswith("class_accuracy")}


def print_figures(when: str, figures: Mapping[str, Any], part: str) -> None:
    """One line on a checkpoint, and one on the vote of the views."""
    found = without_classes(figures)
    plain = {name: value for name, value in found.items() if name.startswith(f"{part}/")}
    print(f"{when}: " + ", ".join(f"{name} {value:.4f}" for name, value in plain.items()))
    if "tta/accuracy" in figures:
        vote, gained, lost = (figures[f"tta/{name}"] for name in ("accuracy", "gained", "lost"))
        alone = figures.get(f"{part}/accuracy", vote)
        more = [
            f", {name.replace('tta', part)} {value:.4f}"
            for name, value in found.items()
            if name.startswith("tta/") and name[4:] not in ("accuracy", "gained", "lost")
        ]
        change = f"({vote - alone:+.4f}: {gained} images gained, {lost} lost)"
        print(f"{when}, views voting: {part}/accuracy {vote:.4f} {change}{''.join(more)}")


def print_classes(figures: Mapping[str, Any], part: str) -> None:
    """A table of the accuracy of each class in percent, without and with the views."""
    alone, voted = figures[f"{part}/class_accuracy"], figures.get("tta/class_accuracy")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("class", overflow="fold")
    for heading in ("accuracy", "voting", "difference") if voted else ("accuracy",):
        table.add_column(heading, justify="right")
    for name, value in alone.items():
        cells = [percent(value)]
        if voted:
            change = None if value is None else voted[name] - value
            cells += [percent(voted[name]), percent(change, "+")]
        table.add_row(Text(name), *cells)
    Console().print(Padding(table, (0, 0, 0, 2)))


def percent(value: float | None, sign: str = "") -> str:
    """A share, or a difference of shares, in percent; `-` where there is none."""
    return "-" if value is None else f"{100 * value:{sign}.2f}"


def print_table(outcomes: Sequence[Outcome]) -> None:
    """A line for each run, the mean of each arm, and a line for each that was not evaluated."""
    done = [outcome for outcome in outcomes if outcome.figures]
    done.sort(key=lambda each: (each.run.folder.parent.name, each.run.seed or 0))
    names = list(dict.fromkeys(name for outcome in done for name in outcome.numbers))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("arm", overflow="fold")
    for heading in ("seed", "at"):
        table.add_column(heading, no_wrap=True)
    for name in names:
        heading = name.replace("tta/", "voting/")
        table.add_column(heading, justify="right", overflow="fold", min_width=FIGURE_LETTERS)
    for arm, group in groupby(done, key=lambda outcome: outcome.run.folder.parent.name):
        for number, cells in enumerate(arm_rows(list(group), names)):
            table.add_row(*map(Text, (one_line(arm, 60) if not number else "", *cells)))
    console = Console()
    if not console.is_terminal:
        console.width = 10_000  # a line for each run, for programs that read it
    if done:
        console.print(table)
    for outcome in outcomes:
        if outcome.problem:
            print(f"! {shown_path(outcome.run.folder)}: {one_line(outcome.problem, 400)}")


def arm_rows(outcomes: Sequence[Outcome], names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Seed, checkpoint and figures of each run of an arm, then their means and deviations."""
    for outcome in outcomes:
        seed = "-" if outcome.run.seed is None else str(outcome.run.seed)
        yield seed, outcome.at, *(rounded(outcome.numbers.get(name)) for name in names)
    if len(outcomes) > 1:
        yield "mean", "", *(spread([each.numbers.get(name) for each in outcomes]) for name in names)


def rounded(value: float | None) -> str:
    """Four decimals; counts are whole."""
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.4f}"


def spread(values: Sequence[float | None]) -> str:
    """As in `0.9510 ± 0.0031`, or `6.3 ± 2.9` of counts: mean and standard deviation."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return rounded(known[0]) if known else "-"
    digits = 1 if all(isinstance(value, int) for value in known) else 4
    return f"{statistics.mean(known):.{digits}f} ± {statistics.stdev(known):.{digits}f}"
