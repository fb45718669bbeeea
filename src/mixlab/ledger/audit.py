"""Repeat random steps of a run, and compare their losses with the logged ones.

The same code trains again, in a folder of its own, from the initial weights or from a checkpoint
that the run has kept, up to steps whose loss was logged.
"""

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixlab.callbacks.step_loss import STEP_LOSS
from mixlab.errors import UserError
from mixlab.ledger.retrain_steps import Start, losses_again, starts_of
from mixlab.runs.atomic import read_json
from mixlab.runs.provenance import check_code, cpu_name, versions
from mixlab.runs.records import find, shown_path

TOLERANCE = 0.01  # of the loss, if versions or hardware are not those of the run


def audit(
    paths: Sequence[str], steps: int, reach: int, seed: int | None = None, allow: Sequence[str] = ()
) -> bool:
    """Check each run under `paths` and print the result; whether all losses are as logged.

    Args:
        steps: how many logged steps to repeat, for each run.
        reach: how many steps to train at most from one start.
        seed: for the choice of steps; by default a random one.
        allow: the user's own packages that the runs may call.

    Raises:
        UserError: a run cannot be checked: other code, other data, several processes, no steps.
    """
    if steps < 1 or reach < 1:
        raise UserError(f"--steps and --reach must be above 0, got {steps} and {reach}")
    rng = random.Random(seed)
    folders = [run.folder for run in find(paths).runs if (run.folder / "config.yaml").is_file()]
    if not folders:
        raise UserError("none of these runs was started; there is nothing to check")
    good = [audit_run(folder, steps, reach, rng, allow) for folder in folders]
    if len(good) > 1:
        print(f"{sum(good)} of {len(good)} runs are as they were logged")
    return all(good)


def audit_run(
    folder: Path, steps: int, reach: int, rng: random.Random, allow: Sequence[str]
) -> bool:
    """Check one run and print the result."""
    record = read_json(folder / "run.json")
    check_code(record, allow)
    if (record.get("devices") or 1) > 1:
        raise UserError(f"{folder} was trained by several processes, which an audit cannot repeat")
    logged = logged_losses(folder)
    starts, broken = starts_of(folder)
    within = reachable(starts, logged, reach)
    chosen = choose(within, steps, rng)
    if not chosen:
        raise UserError(
            f"{folder}: no logged step within {reach} steps of a start; give a larger --reach"
        )
    differences = different(record)
    print(f"{shown_path(folder)}: {scope(within, logged)}")
    good = not broken
    for line in broken:
        print(f"  {line}: DIFFERS")
    for start, at in chosen.items():
        found = losses_again(folder, record, start, at, allow)
        for step in at:
            good &= same_loss(step, start, logged[step], found.get(step), bool(differences))
    print(f"  {audit_line(good, differences)}")
    return good


def reachable(
    starts: Sequence[Start], logged: dict[int, float], reach: int
) -> dict[Start, list[int]]:
    """The logged steps that each start leads to; a step belongs to the nearest start before it."""
    found: dict[Start, list[int]] = {start: [] for start in starts}
    for step in sorted(logged):
        before = [start for start in starts if start.step <= step < start.step + reach]
        if before:
            found[max(before, key=lambda start: start.step)].append(step)
    return {start: steps for start, steps in found.items() if steps}


def choose(
    within: dict[Start, list[int]], count: int, rng: random.Random
) -> dict[Start, list[int]]:
    """`count` random steps, first one from each start."""
    first = [(start, rng.choice(steps)) for start, steps in within.items()]
    rest = [(s, step) for s, steps in within.items() for step in steps if (s, step) not in first]
    rng.shuffle(first)
    rng.shuffle(rest)
    chosen: dict[Start, list[int]] = {}
    for start, step in sorted((first + rest)[:count], key=lambda pair: (pair[0].step, pair[1])):
        chosen.setdefault(start, []).append(step)
    return chosen


def same_loss(step: int, start: Start, logged: float, found: float | None, loose: bool) -> bool:
    """Print a step's logged and repeated loss; whether they are equal, or close if `loose`."""
    bound = TOLERANCE * max(abs(logged), 1.0) if loose else 0.0
    same = found is not None and (abs(found - logged) <= bound or found == logged)
    word = "same" if found == logged else "close" if same else "DIFFERS"
    now = "never reached" if found is None else f"again {found!r}"
    print(f"  step {step}, from {start.name} (step {start.step}): {logged!r} logged, {now}: {word}")
    return same


def different(record: dict[str, Any]) -> list[str]:
    """What differs from the run's environment, so that the last bits may differ."""
    now = versions()
    found = [
        f"{package} {version}, here {now.get(package)}"
        for package, version in record.get("versions", {}).items()
        if package != "wandb" and now.get(package) != version
    ]
    before = (record.get("hardware") or {}).get("cpu")
    if before != cpu_name():
        found.append(f"processor {before}, here {cpu_name()}")
    if record.get("accelerator") not in (None, "cpu"):
        found.append(f"trained on {record['accelerator']}, which adds in any order")
    return found


def scope(within: dict[Start, list[int]], logged: dict[int, float]) -> str:
    """Which part of the run can be checked."""
    count = sum(map(len, within.values()))
    names = ", ".join(f"{start.name} at step {start.step}" for start in within)
    return f"{count} of {len(logged)} logged steps can be repeated, from {names}"


def audit_line(good: bool, differences: Sequence[str]) -> str:
    """The last line about a run."""
    bound = "equal to the bit"
    if differences:
        bound = f"within {TOLERANCE:.0%} ({'; '.join(differences)})"
    return f"{bound}: as it was logged" if good else "NOT as it was logged"


def logged_losses(folder: Path) -> dict[int, float]:
    """The logged loss of each step; UserError if there are none."""
    file = folder / "metrics.csv"
    found = {}
    if file.is_file():
        with open(file, encoding="utf-8", newline="") as opened:
            for row in csv.DictReader(opened):
                if row.get(STEP_LOSS):
                    found[int(row["step"])] = float(row[STEP_LOSS])
    if not found:
        raise UserError(f"{file} has no {STEP_LOSS}; only runs with logger=csv can be checked")
    return found
