"""The command `mixlab-sweep`: look after run folders. A subcommand imports only what it needs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mixlab.errors import one_sentence
from mixlab.runs.status import BROKEN, RETRIED, Status

SWEEP_EXAMPLES = """\
examples:
  mixlab-sweep status logs/sweeps/train         show a line for each run, and counts
  mixlab-sweep retry logs/sweeps/train          plan failed and diverged runs again
  mixlab-sweep clean logs --checkpoints         show what can be removed; --yes removes it
  mixlab-sweep sync logs                        send offline runs to W&B, each once
  mixlab-sweep audit logs/runs/train/*/seed-0   repeat ten training steps, compare the losses
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command `mixlab-sweep`."""
    args = sweep_parser().parse_args(argv)
    with one_sentence("mixlab-sweep"):
        sys.exit(run_subcommand(args))


def sweep_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mixlab-sweep",
        description="Look after run folders: status, retry, clean, sync, audit.",
        epilog=SWEEP_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, what: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("paths", nargs="+", metavar="PATH", help="a run or sweep "
            "folder, a folder above them, or a glob")  # fmt: skip
        return command

    add("status", "show the state of each run").add_argument("--index", type=Path, metavar="DIR",
        help="list the runs in DIR/sweep.json, which makes DIR a sweep folder")  # fmt: skip
    add("retry", "mark runs to be trained again by the command that began them").add_argument(
        "--states", nargs="+", choices=[*RETRIED, Status.INTERRUPTED], default=[*BROKEN],
        help="which (default: failed diverged)")  # fmt: skip
    clean = add("clean", "remove failed, interrupted and planned runs that hold nothing")
    clean.add_argument(
        "--checkpoints", action="store_true", help="also checkpoints of finished runs"
    )
    clean.add_argument("--replaced", action="store_true", help="also runs archived by existing=new")
    clean.add_argument("--yes", action="store_true", help="remove them, not only show them")
    add("sync", "send offline W&B runs, each run folder once and as one W&B run")
    audit = add("audit", "repeat random training steps and compare their losses")
    audit.add_argument("--steps", type=int, default=10, help="how many (default: %(default)s)")
    audit.add_argument("--reach", type=int, default=200, metavar="N", help="train at most N "
        "steps from the initial weights or a checkpoint (default: %(default)s)")  # fmt: skip
    audit.add_argument("--seed", type=int, default=None, help="seed for the choice of "
        "steps (default: random)")  # fmt: skip
    audit.add_argument("--allow", action="append", default=[], metavar="PACKAGE", help="your own "
        "package that the run may call, if you trust it; may be repeated")  # fmt: skip
    return parser


def run_subcommand(args: argparse.Namespace) -> int:
    """Run a subcommand; returns the exit status, 1 if it found a problem."""
    if args.command == "status":
        from mixlab.ledger.status import print_status

        print_status(args.paths, args.index)
    elif args.command == "retry":
        from mixlab.ledger.status import retry

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
