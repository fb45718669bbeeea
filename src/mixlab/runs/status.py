"""What is to be done about a run, from what its record says and what its code is now."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mixlab.errors import UserError, counted

CODE = ("check", "reuse", "rerun")
RETRIED = ("failed", "diverged")  # trained again only when somebody asks
RETRY = "sweep.retry"


def asked_again(given: Any) -> tuple[str, ...]:
    """Which states `sweep.retry=failed`, `[failed,diverged]` or `all` asks to train again."""
    words = [str(word) for word in ([given] if isinstance(given, str) else given or [])]
    for word in words:
        if word not in (*RETRIED, "all"):
            raise UserError(f"{RETRY} must be {', '.join(RETRIED)} or all, got {word}")
    return RETRIED if "all" in words else tuple(words)


def next_action(
    record: dict[str, Any],
    changed: list[str],
    code: str,
    retry: Iterable[str] = RETRIED,
    begun: bool = False,
) -> str:
    """What is to be done: done, ask, leave, afresh, or go on (from its last checkpoint).

    Args:
        record: its `run.json`, empty where there is none.
        changed: source files that are not what the run was made by.
        code: what the user says of a run that other code made: check, reuse or rerun.
        retry: which of failed and diverged are to be trained again; the others are left.
        begun: whether it has a checkpoint.
    """
    if code not in CODE:
        raise UserError(f"code must be one of {', '.join(CODE)}, got {code!r}")
    status = record.get("status")
    finished = status == "finished"
    if status in RETRIED and status not in retry:
        return "leave"
    if status in (None, "planned") and not record.get("code"):
        return "go on"
    if not changed or code == "reuse":
        return "done" if finished else "go on"
    return "ask" if code == "check" and (finished or begun) else "afresh"


def with_history(record: dict[str, Any]) -> dict[str, Any]:
    """The record with how its last training ended, if not well, added to `history`."""
    status = record.get("status")
    if status in (None, "planned", "finished"):
        return record
    status = "interrupted" if status == "running" else status  # nobody was left to say so
    ended = {"status": status, "error": record.get("error"), "ended": record.get("ended")}
    return {**record, "history": [*record.get("history", []), ended]}


def other_code(folders: list[Path], changed: list[str]) -> str:
    """The sentence for runs that other code made."""
    runs = ", ".join(str(folder) for folder in folders[:3]) + (" ..." if len(folders) > 3 else "")
    files = ", ".join(changed[:5]) + (" ..." if len(changed) > 5 else "")
    count = counted(len(folders), "run")
    return (
        f"{count} made by other code ({files} changed): {runs}; add code=reuse to keep what is "
        "there, code=rerun to train anew in its place, or rerun=true beside it"
    )


def other_data(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """The sentence for a run whose data are not what they were; None where they are."""
    if before.get("sha256") in (None, now.get("sha256")):
        return None
    differences = ", ".join(
        f"{key} {short_value(before.get(key))} then, {short_value(now.get(key))} now"
        for key in {**before, **now}
        if before.get(key) != now.get(key)
    )
    return f"{folder} was trained on other data ({differences}); put them back to go on"


def short_value(value: Any) -> str:
    """A value in a sentence: of a long hash the first digits."""
    text = str(value)
    return text if len(text) <= 12 else f"{text[:8]}..."


def check_same_data(record: dict[str, Any], data: Any) -> None:
    """Raise ValueError if the data are not those of the run."""
    before = record.get("data", {}).get("sha256")
    if before != data.fingerprint:
        where = data.path or data.name
        raise UserError(
            f"the data ({where}) changed since the run was trained, so its batches cannot be made "
            "again; name the file it was trained on with data_path=..."
        )
