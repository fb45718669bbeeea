"""Make random steps of a run again, and compare their losses with those it logged.

A run starts from weights that its seed makes, and goes on from each checkpoint it has kept; from
there the same code trains again, in a folder of its own, until the steps whose loss was logged.
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

TOLERANCE = 0.01  # of the loss, where versions, threads or processor are not the run's


def audit(
    paths: Sequence[str], steps: int, reach: int, seed: int | None = None, allow: Sequence[str] = ()
) -> bool:
    """Check each run under `paths` and say what was found; whether all is as it was logged.

    Args:
        steps: how many of the logged steps to make again, of each run.
        reach: how many steps to train at most from one start.
        seed: of the choice of the steps; another one each time where it is None.
        allow: packages of the user's own that the runs may call.

    Raises:
        ValueError: a run cannot be checked: other code, other data, several processes, no steps.
    """
    if steps < 1 or reach < 1:
        raise UserError(f"--steps and --reach must be above 0, got {steps} and {reach}")
    rng = random.Random(seed)
    folders = [run.folder for run in find(paths).runs if (run.folder / "config.yaml").is_file()]
    if not folders:
        raise UserError("none of these runs was ever begun; there is nothing to check")
    good = [audit_run(folder, steps, reach, rng, allow) for folder in folders]
    if len(good) > 1:
        print(f"{sum(good)} of {len(good)} runs are as they were logged")
    return all(good)


def audit_run(
    folder: Path, steps: int, reach: int, rng: random.Random, allow: Sequence[str]
) -> bool:
    """Check one run and print what was found."""
    record = read_json(folder / "run.json")
    check_code(record, allow)
    if (record.get("devices") or 1) > 1:
        raise UserError(f"{folder} was trained by several processes; an audit is one")
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
    """The logged steps that each start leads to, each from the nearest start before it."""
    found: dict[Start, list[int]] = {start: [] for start in starts}
    for step in sorted(logged):
        before = [start for start in starts if start.step <= step < start.step + reach]
        if before:
            found[max(before, key=lambda start: start.step)].append(step)
    return {start: steps for start, steps in found.items() if steps}


def choose(
    within: dict[Start, list[int]], count: int, rng: random.Random
) -> dict[Start, list[int]]:
    """That many of the steps at random, one from each start first."""
    first = [(start, rng.choice(steps)) for start, steps in within.items()]
    rest = [(s, step) for s, steps in within.items() for step in steps if (s, step) not in first]
    rng.shuffle(first)
    rng.shuffle(rest)
    chosen = (first + rest)[:count]
    return {
        start: steps for start in within if (steps := sorted(n for s, n in chosen if s == start))
    }


def same_loss(step: int, start: Start, logged: float, found: float | None, loose: bool) -> bool:
    """Print a step's loss as it was logged and as it is now; whether that is the same."""
    bound = TOLERANCE * max(abs(logged), 1.0) if loose else 0.0
    same = found is not None and (abs(found - logged) <= bound or found == logged)
    word = "same" if found == logged else "close" if same else "DIFFERS"
    now = "never reached" if found is None else f"again {found!r}"
    print(f"  step {step}, from {start.name} (step {start.step}): {logged!r} logged, {now}: {word}")
    return same


def different(record: dict[str, Any]) -> list[str]:
    """What is not as it was for the run, so that the last bits may differ."""
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
    """Which part of the run can be checked at all."""
    count = sum(map(len, within.values()))
    names = ", ".join(f"{start.name} at step {start.step}" for start in within)
    return f"{count} of {len(logged)} logged steps can be made again, from {names}"


def audit_line(good: bool, differences: Sequence[str]) -> str:
    """One line in the end."""
    bound = "equal to the bit"
    if differences:
        bound = f"within {TOLERANCE:.0%} ({'; '.join(differences)})"
    return f"{bound}: as it was logged" if good else "NOT as it was logged"


def logged_losses(folder: Path) -> dict[int, float]:
    """By step, from metrics.csv.

    Raises:
        ValueError: the run logged none.
    """
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
