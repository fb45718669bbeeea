"""mixlab-compare: pair the arms of finished runs by seed and say what differs.

Libraries are imported after the command line is parsed, so that --help is fast.
"""

import argparse
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixlab.errors import UserError, one_sentence

if TYPE_CHECKING:
    from mixlab.reporting.comparison import Comparison

COMPARE_EXAMPLES = """\
examples:
  mixlab-compare logs/sweeps/quickstart              table, and report.html in that folder
  mixlab-compare logs/runs/train --by optimizer.lr   arms that differ in the learning rate
  mixlab-compare 'logs/runs/*/*cutmix*' logs/runs/train/*none* --format markdown
  mixlab-compare logs/sweeps/quickstart --per-class  which classes gain, which lose
  mixlab-compare logs/sweeps/quickstart --by evaluation   what test-time augmentation does
  mixlab-compare logs --baseline "mixup alpha=0.2" --output my_report
"""
PLAIN_COLUMNS = 120  # width of output that does not go to a terminal


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, compare, print. An error that a user can fix is one sentence and status 2."""
    args = compare_parser().parse_args(argv)
    with one_sentence("mixlab-compare"):
        print_comparison(args)


def compare_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="mixlab-compare",
        description="Compare arms of finished runs, paired by seed: mean, difference to the "
        "baseline with its 95 % t-interval, test, verdict and cost.",
        epilog=COMPARE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="run or sweep folder, a folder above, or a glob")
    add("--metric", help="what to compare (default: the test value of the metric that chose the "
        "checkpoint, if it is no loss; of segmentations test/iou; else test/accuracy)")  # fmt: skip
    add("--by", action="append", metavar="KEY", help="group or key that tells arms apart; may be "
        "given again (default: mixing)")  # fmt: skip
    add("--baseline", metavar="LABEL", help="arm to compare with (default: the one without mixing)")
    add("--margin", type=_margin, help="differences within +-MARGIN are equivalent, in the "
        "metric's own unit: 0.005 is half a point of accuracy")  # fmt: skip
    add("--per-class", action="store_true", help="print a second table: which classes gain, which "
        "lose, in accuracy")  # fmt: skip
    add("--evaluations", action="store_true", help="compare what mixlab-evaluate kept in the run "
        "folders too, a block for each way of testing; --by evaluation makes arms")  # fmt: skip
    add("--format", choices=("table", "markdown", "csv", "html"), default="table",
        help="what goes to standard output (default: %(default)s)")  # fmt: skip
    add("--output", type=Path, metavar="DIR", help="write report.html, .md, .csv and .png there "
        "(default: the sweep folder, when one is given alone and the format is table)")  # fmt: skip
    return parser


def print_comparison(args: argparse.Namespace) -> None:
    """Compare, print in the chosen format, and write the report if there is a folder for it."""
    from mixlab.reporting.comparison import compare_runs, headline_metric
    from mixlab.reporting.pairing import Question
    from mixlab.runs.evaluations import with_evaluations
    from mixlab.runs.records import find

    if args.per_class and args.format not in ("table", "markdown"):
        raise UserError(f"--per-class prints a table or markdown, not {args.format}")
    found = find(args.paths)
    if args.evaluations or "evaluation" in (args.by or ()):
        found = with_evaluations(found)
    metric = args.metric or headline_metric(found.runs)
    question = Question(metric, tuple(args.by or ["mixing"]), args.baseline, args.margin)
    comparison = compare_runs(found, question)
    _print(comparison, args)
    folder = args.output or (_sweep_alone(args.paths) if args.format == "table" else None)
    if folder is not None:
        from mixlab.reporting.export import write_report

        page = write_report(comparison, folder, _command(args))
        print(page, file=sys.stdout if args.format == "table" else sys.stderr)


def _print(comparison: "Comparison", args: argparse.Namespace) -> None:
    if args.format == "table":
        from rich.console import Console

        from mixlab.reporting import tables

        console = Console()
        console = console if console.is_terminal else Console(width=PLAIN_COLUMNS)
        console.print(tables.render(comparison), highlight=False)
        if args.per_class:
            console.print(tables.render_classes(comparison), highlight=False)
    elif args.format == "html":
        from mixlab.reporting import html

        print(html.render(comparison, _command(args)))
    else:
        from mixlab.reporting import export

        write = {"markdown": export.markdown, "csv": export.csv_text}[args.format]
        print(write(comparison), end="")
        if args.per_class:
            print("", export.markdown_classes(comparison), sep="\n", end="")


def _sweep_alone(paths: Sequence[str]) -> Path | None:
    """The sweep folder if it is the only path."""
    folder = Path(paths[0])
    return folder if len(paths) == 1 and (folder / "sweep.json").is_file() else None


def _command(args: argparse.Namespace) -> list[str]:
    """The command line that repeats this report."""
    command = ["mixlab-compare", *args.paths]
    if args.metric is not None:
        command += ["--metric", args.metric]
    command += ["--evaluations"] if args.evaluations else []
    for key in args.by or ():
        command += ["--by", key]
    if args.baseline is not None:
        command += ["--baseline", args.baseline]
    if args.margin is not None:
        command += ["--margin", f"{args.margin:g}"]
    return command


def _margin(text: str) -> float:
    """A margin of equivalence."""
    try:
        margin = float(text)
    except ValueError:
        margin = math.nan
    if not 0 < margin < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {shlex.quote(text)}")
    return margin


if __name__ == "__main__":
    main()
