"""What is to be done about a run, from what its record says and what its code is now."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

CODE = ("check", "reuse", "rerun")
RETRIED = ("failed", "diverged")  # trained again only when somebody asks
RETRY = "sweep.retry"


def asked_again(given: Any) -> tuple[str, ...]:
    """Which states `sweep.retry=failed`, `[failed,diverged]` or `all` asks to train again."""
    words = [str(word) for word in ([given] if isinstance(given, str) else given or [])]
    for word in words:
        if word not in (*RETRIED, "all"):
            raise ValueError(f"{RETRY} must be {', '.join(RETRIED)} or all, got {word}")
    return RETRIED if "all" in words else tuple(words)


def standing(
    record: dict[str, Any], changed: list[str], code: str, retry: Iterable[str] = RETRIED
) -> str:
    """What is to be done: done, ask, leave, afresh, or go on (from its last checkpoint).

    Args:
        record: its `run.json`, empty where there is none.
        changed: source files that are not what the run was made by.
        code: what the user says of a finished run that other code made: check, reuse or rerun.
        retry: which of failed and diverged are to be trained again; the others are left.
    """
    if code not in CODE:
        raise ValueError(f"code must be one of {', '.join(CODE)}, got {code!r}")
    status = record.get("status")
    if status in (None, "planned") and not record.get("code"):
        return "go on"
    if status != "finished":
        return leave_or_train(status, changed, retry)
    if not changed or code == "reuse":
        return "done"
    return "afresh" if code == "rerun" else "ask"


def leave_or_train(status: str | None, changed: list[str], retry: Iterable[str]) -> str:
    """The same for a run that was begun and is not finished."""
    if status in RETRIED and status not in retry:
        return "leave"
    return "afresh" if changed else "go on"


def with_history(record: dict[str, Any]) -> dict[str, Any]:
    """The record with how its last training ended, if not well, added to `history`."""
    status = record.get("status")
    if status in (None, "planned", "finished"):
        return record
    status = "interrupted" if status == "running" else status  # nobody was left to say so
    ended = {"status": status, "error": record.get("error"), "ended": record.get("ended")}
    return {**record, "history": [*record.get("history", []), ended]}


def other_code(folders: list[Path], changed: list[str]) -> str:
    """The sentence for finished runs that other code made."""
    runs = ", ".join(str(folder) for folder in folders[:3]) + (" ..." if len(folders) > 3 else "")
    files = ", ".join(changed[:5]) + (" ..." if len(changed) > 5 else "")
    return (
        f"{len(folders)} finished by other code ({files} changed): {runs}; add code=reuse to keep "
        "their results, code=rerun to train them again, or rerun=true to do so and keep the old"
    )


def other_data(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """The sentence for a run whose data are not what they were; None where they are."""
    if before.get("sha256") in (None, now.get("sha256")):
        return None
    differences = ", ".join(
        f"{key} {short(before.get(key))} then, {short(now.get(key))} now"
        for key in {**before, **now}
        if before.get(key) != now.get(key)
    )
    return f"{folder} was trained on other data ({differences}); put them back to go on"


def short(value: Any) -> str:
    """A value in a sentence: of a long hash the first digits."""
    text = str(value)
    return text if len(text) <= 12 else f"{text[:8]}..."
