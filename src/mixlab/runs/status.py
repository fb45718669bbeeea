"""The states of a run, what a command does about a run in each of them, and what it says."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any

from mixlab.errors import UserError, counted


class Status(StrEnum):
    """The status in `run.json`."""

    PLANNED = "planned"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FINISHED = "finished"
    FAILED = "failed"
    DIVERGED = "diverged"
    PRUNED = "pruned"  # stopped by its search, as hopeless


class Action(StrEnum):
    """What a command does about a run."""

    SKIP = "skip"  # it is finished
    RESUME = "resume"  # from its last checkpoint, or from the start where it has none
    RESTART = "restart"  # from the start, without what is there
    LEAVE = "leave"  # as it failed, until the user asks for it
    ASK = "ask"  # other code made it, and the user has not said what to do


class Existing(StrEnum):
    """What the user wants done with a run that is there already."""

    CHECK = "check"
    REUSE = "reuse"
    REPLACE = "replace"
    NEW = "new"


# What a command does about a run that the same code made.
ACTIONS: dict[Status | None, Action] = {
    None: Action.RESUME,
    Status.PLANNED: Action.RESUME,
    Status.RUNNING: Action.RESUME,  # its process is gone: this one holds the lock
    Status.INTERRUPTED: Action.RESUME,
    Status.FINISHED: Action.SKIP,
    Status.FAILED: Action.LEAVE,
    Status.DIVERGED: Action.LEAVE,
    Status.PRUNED: Action.LEAVE,
}
# Each status, and those that a run may have before it.
TRANSITIONS: dict[Status, tuple[Status | None, ...]] = {
    Status.PLANNED: (None, *Status),  # `mixlab-sweep retry` plans any run again
    Status.RUNNING: (None, *Status),  # also a finished one, where only its tests were missing
    Status.INTERRUPTED: (None, Status.PLANNED, Status.RUNNING),
    Status.FINISHED: (Status.RUNNING,),
    Status.FAILED: (None, *(status for status in Status if status != Status.FINISHED)),
    Status.DIVERGED: (Status.RUNNING,),
    Status.PRUNED: (Status.RUNNING,),
}
UNSETTLED = (None, Status.PLANNED, Status.RUNNING)  # the process could not record how it ended
BROKEN = (Status.FAILED, Status.DIVERGED)
RETRIED = (*BROKEN, Status.PRUNED)  # trained again only when the user asks


def status_of(record: dict[str, Any]) -> Status | None:
    """The status in a record; None where there is none, or an unknown one."""
    word = record.get("status")
    return Status(word) if word in [*Status] else None


def asked_again(given: Any) -> tuple[Status, ...]:
    """Which states `retry=failed`, `[failed,diverged]` or `all` asks to train again."""
    words = [str(word) for word in ([given] if isinstance(given, str) else given or [])]
    for word in words:
        if word not in (*RETRIED, "all"):
            raise UserError(f"retry must be {', '.join(RETRIED)} or all, got {word}")
    return RETRIED if "all" in words else tuple(Status(word) for word in words)


def next_action(
    record: dict[str, Any],
    changed: list[str],
    existing: str,
    retry: Iterable[str | None] = RETRIED,
    begun: bool = False,
) -> Action:
    """What a command does about a run.

    Args:
        record: its `run.json`, empty where there is none.
        changed: source files that changed since it was trained.
        existing: what the user wants done with a run that is there already.
        retry: which of failed and diverged to train again; the others are left.
        begun: whether it has a checkpoint.
    """
    if existing not in [*Existing]:
        raise UserError(f"existing must be one of {', '.join(Existing)}, got {existing!r}")
    status = status_of(record)
    action = Action.RESUME if status in retry else ACTIONS[status]
    untrained = status in (None, Status.PLANNED) and not record.get("code")
    if action is Action.LEAVE or untrained or not changed or existing == Existing.REUSE:
        return action
    if existing == Existing.CHECK and (begun or status is Status.FINISHED):
        return Action.ASK
    return Action.RESTART


def transition(record: dict[str, Any], status: Status, **facts: Any) -> dict[str, Any]:
    """The record in another state, with more facts.

    A run that is planned or begun again keeps how it ended before, if not well, in `history`.

    Raises:
        RuntimeError: this status cannot follow the record's.
    """
    before = status_of(record)
    if before not in TRANSITIONS[status]:
        raise RuntimeError(f"a run that is {before} does not become {status}")
    if status in (Status.PLANNED, Status.RUNNING):
        record = with_history(record)
    return {**record, "status": str(status), **facts}


def with_history(record: dict[str, Any]) -> dict[str, Any]:
    """The record with how its last training ended, if not well, added to `history`."""
    status = status_of(record)
    if status in (None, Status.PLANNED, Status.FINISHED):
        return record
    status = Status.INTERRUPTED if status is Status.RUNNING else status  # its process died
    ended = {"status": str(status), "error": record.get("error"), "ended": record.get("ended")}
    return {**record, "history": [*record.get("history", []), ended]}


def run_name(folder: Path) -> str:
    """`digits-cnn-mixup-7845f86b/seed-0`: a run's arm and its seed."""
    return "/".join(folder.parts[-2:])


def results_line(results: dict[str, Any], monitor: dict[str, Any] | None = None) -> str:
    """`test accuracy 0.9510 (chosen on validation), 0.9490 (last)`.

    The figure is the one that chose the checkpoint, see `monitor` in `run.json`; of a loss, and
    where nothing was chosen, the overlap or the accuracy.
    """
    rows = {"chosen on validation": results.get("best") or {}, "last": results.get("last") or {}}
    chose = str((monitor or {}).get("metric")).removeprefix("val/")
    names = [*([] if chose == "loss" else [chose]), "iou", "accuracy"]
    for metric in (f"{stage}/{name}" for stage in ("test", "val") for name in names):
        known = {when: row.get(metric) for when, row in rows.items()}
        found = [f"{x:.4f} ({when})" for when, x in known.items() if isinstance(x, int | float)]
        if found:
            return f"{metric.replace('/', ' ')} {', '.join(found)}"
    return "no metrics"


def optimized(results: dict[str, Any], metric: str | None) -> float | None:
    """What a sweeper optimizes: `metric` at the checkpoint chosen on validation, else at the last.

    Raises:
        UserError: the run has no such metric.
    """
    row = results.get("best") or results["last"]
    if metric is None:
        return None
    if metric not in row:
        names = ", ".join(name for name in row if name.startswith("val/")) or "none on validation"
        raise UserError(f"optimized_metric={metric}: the run has no such metric, only {names}")
    return row[metric]


def first_names(names: list[str], most: int = 5) -> str:
    """The first names of many."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def other_code(folders: list[Path], changed: list[str]) -> str:
    """The sentence for runs that other code made."""
    runs, files = first_names([str(folder) for folder in folders], 3), first_names(changed)
    return (
        f"{counted(len(folders), 'run')} made by other code ({files} changed): {runs}; "
        "add existing=reuse to keep what is there, existing=replace to train it again in its "
        "place, or existing=new to archive it and train again"
    )


def other_data(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """The sentence for a run whose data changed; None where they did not."""
    if before.get("sha256") in (None, now.get("sha256")):
        return None
    differences = ", ".join(
        f"{key} {short_value(before.get(key))} then, {short_value(now.get(key))} now"
        for key in {**before, **now}
        if before.get(key) != now.get(key)
    )
    return f"{folder} was trained on other data ({differences}); restore them to continue"


def short_value(value: Any) -> str:
    """A value in a sentence: the first digits of a long hash."""
    text = str(value)
    return text if len(text) <= 12 else f"{text[:8]}..."
