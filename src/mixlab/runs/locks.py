"""Which process holds a run folder, and when the run last advanced.

The lock on the folder decides what "running" means: a process holds it while it lives, and the
kernel releases it however the process dies. Its modification time is the heartbeat, for people.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from mixlab.errors import UserError
from mixlab.runs.atomic import make_folder, writing

ANOTHER = "another process"
LOCK_ATTEMPTS = 25  # 20 ms apart: checking whether a run is running holds its lock for a moment


def taken(folder: Path) -> int:
    """A descriptor that holds the lock on a run folder, which is made if it does not exist.

    Raises:
        UserError: another process holds it.
        CannotWrite: nothing can be written there.
    """
    for _ in range(LOCK_ATTEMPTS):
        make_folder(folder)
        with suppress(FileNotFoundError), writing(folder):  # another process just removed it
            if (descriptor := lock(folder)) is not None:
                return descriptor
        time.sleep(0.02)
    raise in_use(folder)


def in_use(folder: Path) -> UserError:
    """The error for a run folder whose lock another process holds."""
    return UserError(f"{folder} is being trained by {ANOTHER}; wait for it or end it")


def lock(folder: Path) -> int | None:
    """A descriptor that holds the lock on a run folder; None while another process does."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(folder / ".lock")):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)  # another process's, or of a folder that was moved away meanwhile
    return None


def is_running(folder: Path) -> bool:
    """Whether a process trains the run of this folder now, whatever `run.json` says.

    Checks share the lock, and a process that begins to train tries for longer than they hold it.
    """
    try:
        with open(folder / ".lock", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock, or one that cannot be read
        pass
    return False


def last_heartbeat(folder: Path) -> float | None:
    """When a run last advanced, in seconds since 1970; None if it never began."""
    try:
        return (folder / ".lock").stat().st_mtime
    except OSError:
        return None


def seconds_with(folder: Path, record: dict[str, Any]) -> float:
    """A record's seconds plus those of a process that died, up to its last heartbeat."""
    beat, before = last_heartbeat(folder), record.get("seconds", 0.0)
    with suppress(OSError):
        began = (folder / "config.yaml").stat().st_mtime  # written whenever training begins
        return round(before + max(0.0, (beat or began) - began), 3)
    return before
