"""Send offline W&B runs to W&B, each run or sweep folder once and as one W&B run."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mixlab.errors import UserError, counted
from mixlab.runs.locks import is_running
from mixlab.runs.records import find, one_line, shown_path

PAUSES = (60.0, 300.0, 900.0)  # seconds to wait when W&B's rate limit is met, before giving up
SYNCED_MARK = ".wandb.synced"  # as `wandb sync` marks a file that it has sent


def sync(paths: Sequence[str]) -> int:
    """Send what was not sent yet; returns how many folders could not be sent.

    Raises:
        UserError: there is no W&B key.
    """
    found = find(paths)
    folders = [*(run.folder for run in found.runs), *found.sweeps]
    waiting = {folder: parts for folder in folders if (parts := unsent(folder))}
    if not waiting:
        print("nothing to send: there is no unsent offline W&B run here")
        return 0
    from mixlab.loggers.wandb_run import default_mode

    if default_mode() == "offline":
        raise UserError(
            f"{counted(len(waiting), 'run')} to be sent to W&B and there is no key: "
            "set WANDB_API_KEY or run `wandb login`"
        )
    return sum(not send(folder, parts) for folder, parts in waiting.items())


def unsent(folder: Path) -> list[Path]:
    """The offline parts of a run that were not sent, oldest first; none if it is running."""
    parts = sorted((folder / "wandb").glob("offline-run-*"))
    parts = [
        part
        for part in parts
        if any(part.glob("*.wandb")) and not any(part.glob(f"*{SYNCED_MARK}"))
    ]
    return parts if parts and not is_running(folder) else []


def stored_run_id(folder: Path) -> str:
    """The W&B id of a run folder, which is that of its first part."""
    first = min((folder / "wandb").glob("offline-run-*"))
    named = re.fullmatch(r"offline-run-\d+_\d+-(.+)", first.name)
    return named[1] if named else first.name


def send(folder: Path, parts: Sequence[Path]) -> bool:
    """Send the parts of one run, in order, as one W&B run; whether that worked."""
    found = shutil.which("wandb")
    program = [found] if found else [sys.executable, "-m", "wandb"]
    said = fault([*program, "sync", "--id", stored_run_id(folder), *map(str, parts)])
    if said:
        print(f"not sent: {shown_path(folder)}: {one_line(said)}", file=sys.stderr)
        return False
    for part in parts:
        for file in part.glob("*.wandb"):
            file.with_suffix(SYNCED_MARK).touch()
    print(f"sent: {shown_path(folder)}", flush=True)
    return True


def fault(command: Sequence[str]) -> str:
    """Why `wandb sync` did not send a run, "" if it did; where W&B asks for patience, it gets it.

    W&B itself tries for a minute. When it gives up, its exit status is 0 all the same.
    """
    said = ""
    for pause in (*PAUSES, 0.0):
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        lines = f"{done.stdout}\n{done.stderr}".strip().splitlines() or ["no reason given"]
        errors = [line for line in lines if re.match(r"(wandb: )?ERROR\b", line)]
        said = (errors or (lines if done.returncode else [""]))[-1]
        if not re.search(r"\b429\b|rate.limit", said, re.IGNORECASE) or not pause:
            break
        print(f"W&B asks for fewer requests: waiting {pause:g} s", flush=True)
        time.sleep(pause)
    return said
