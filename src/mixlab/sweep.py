"""mixlab-sweep: what became of the runs, and what to do about those that did not finish.

Only what a subcommand needs is imported.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mixlab.errors import one_sentence
from mixlab.runs.status import RETRIED, Status

SWEEP_EXAMPLES = """\
examples:
  mixlab-sweep status logs/sweeps/train         a line for each run, counts beneath
  mixlab-sweep retry logs/sweeps/train          failed and diverged runs are planned again
  mixlab-sweep clean logs --checkpoints         what could go, and how much that is; --yes removes
  mixlab-sweep sync logs/runs/train             offline W&B runs go online, each once
  mixlab-sweep audit logs/runs/train/*/seed-0   make ten of its steps again, compare the losses
"""
STATES = [*RETRIED, Status.INTERRUPTED]


def main(argv: Sequence[str] | None = None) -> None:
    """Parse and do. What a user can fix is one sentence and status 2."""
    args = sweep_parser().parse_args(argv)
    with one_sentence("mixlab-sweep"):
        sys.exit(run_subcommand(args))


def sweep_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="mixlab-sweep",
        description="Look after run folders: status, retry, clean, sync, audit.",
        epilog=SWEEP_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, what: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("paths", nargs="+", metavar="PATH", help="run or sweep folder, a "
            "folder above, or a glob")  # fmt: skip
        return command

    add("status", "show the state of each run").add_argument("--index", type=Path, metavar="DIR",
        help="list the runs in DIR/sweep.json, which makes DIR a sweep folder")  # fmt: skip
    add("retry", "mark runs to be trained again by the command that began them").add_argument(
        "--states", nargs="+", choices=STATES, default=[*RETRIED],
        help="which (default: failed diverged)")  # fmt: skip
    clean = add("clean", "remove failed, interrupted and planned runs that hold nothing")
    clean.add_argument(
        "--checkpoints", action="store_true", help="and checkpoints of finished runs"
    )
    clean.add_argument("--replaced", action="store_true", help="and what existing=new has archived")
    clean.add_argument("--yes", action="store_true", help="remove; without it they are only shown")
    add("sync", "send offline W&B runs, each run folder as one W&B run, once")
    audit = add("audit", "make random training steps again and compare their losses")
    audit.add_argument("--steps", type=int, default=10, help="how many (default: %(default)s)")
    audit.add_argument("--reach", type=int, default=200, metavar="N", help="steps to train at most "
        "from the initial weights and from each checkpoint (default: %(default)s)")  # fmt: skip
    audit.add_argument("--seed", type=int, default=None, help="of the choice (default: another "
        "each time)")  # fmt: skip
    audit.add_argument("--allow", action="append", default=[], metavar="PACKAGE", help="your own "
        "package that the run may call, if you trust it; may be given again")  # fmt: skip
    return parser


def run_subcommand(args: argparse.Namespace) -> int:
    """Do what was asked for; the exit status, 1 where something is not well."""
    if args.command == "status":
        from mixlab.ledger.status import print_status

        print_status(args.paths, args.index)
    elif args.command == "retry":
        from mixlab.ledger.retry import retry

        retry(args.paths, args.states)
    elif args.command == "clean":
        from mixlab.ledger.clean import clean

        clean(args.paths, checkpoints=args.checkpoints, replaced=args.replaced, yes=args.yes)
    elif args.command == "sync":
        from mixlab.ledger.sync import sync

        return int(sync(args.paths) > 0)
    else:
        from mixlab.ledger.audit import audit

        return int(not audit(args.paths, args.steps, args.reach, args.seed, args.allow))
    return 0


if __name__ == "__main__":
    main()
