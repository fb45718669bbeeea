"""One run's folder: made, locked, and described in `run.json`.

A lock on the folder, held while the process lives, is the truth about "running": the kernel lets
go of it however the process dies.
"""

import fcntl
import os
import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.runs.files import read_json, write_json, write_text
from mixlab.runs.identity import arm_hash, arm_slug, run_folder
from mixlab.runs.provenance import changed_files, code_hashes, git_commit, versions

CODE = ("check", "reuse", "rerun")
ANOTHER = "another process"


class Run:
    """A run folder in the hands of the process that trains it."""

    def __init__(self, folder: Path, cfg: DictConfig, lock: int | None = None) -> None:
        self.folder = folder
        self.cfg = cfg
        self.record = read_json(folder / "run.json")
        self._lock = lock
        self._began = time.monotonic()

    @classmethod
    def open(cls, cfg: DictConfig) -> "Run":
        """Make and lock the folder of this configuration.

        Raises:
            RuntimeError: another process is training this very run.
        """
        folder = run_folder(cfg)
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = lock(folder)
        if descriptor is None:
            raise RuntimeError(f"{folder} is being trained by {ANOTHER}; wait for it or end it")
        run = cls(folder, cfg, descriptor)
        os.register_at_fork(
            after_in_child=run.__exit__
        )  # or loader workers would outlive us with it
        return run

    @classmethod
    def join(cls, folder: Path, cfg: DictConfig) -> "Run":
        """The same folder in another rank of the run's process group: read, never written."""
        return cls(folder, cfg)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def settled(self) -> bool:
        """Whether there is nothing to do. What other code left behind is cleared."""
        changed = changed_files(self.record.get("code", {}), code_hashes(self.cfg.get("allow", ())))
        fate = standing(self.record, changed, self.cfg.code)
        if fate == "ask":
            raise ValueError(other_code([self.folder], changed))
        if fate == "afresh":
            self.clear()
        return fate == "done"

    def clear(self) -> None:
        """Remove what an earlier training left, all but the lock and what was printed."""
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name not in (".lock", "log.txt"):
                entry.unlink()
        self.record = {}

    def is_untouched(self) -> bool:
        """Whether nothing has been written here yet, by any process."""
        return all(entry.name == ".lock" for entry in self.folder.iterdir())

    def discard(self) -> None:
        """Remove an untouched folder, and those above it that are empty then."""
        (self.folder / ".lock").unlink()
        for folder in (self.folder, *self.folder.parents[:2]):
            with suppress(OSError):
                folder.rmdir()

    def begin(self, **facts: Any) -> None:
        """Write `config.yaml` and a first `run.json`, status running."""
        self._began = time.monotonic()
        if self._lock is not None:
            write_text(self.folder / "config.yaml", OmegaConf.to_yaml(self.cfg, resolve=True))
        self.write(
            status="running",
            task_name=self.cfg.task_name,
            arm=arm_slug(self.cfg),
            hash=arm_hash(self.cfg),
            seed=self.cfg.seed,
            tags=list(self.cfg.tags),
            started=self.record.get("started") or now(),
            error=None,
            code=code_hashes(self.cfg.get("allow", ())),
            versions=versions(),
            git=git_commit(),
            **facts,
        )

    def end(self, status: str, error: str | None = None, **facts: Any) -> None:
        """Write how it ended. `seconds` adds up over the processes that trained the run."""
        seconds = self.record.get("seconds", 0.0) + time.monotonic() - self._began
        self.write(status=status, error=error, ended=now(), seconds=round(seconds, 3), **facts)

    def write(self, **facts: Any) -> None:
        """Add to `run.json`, atomically."""
        self.record = {**self.record, **facts}
        if self._lock is not None:
            write_json(self.folder / "run.json", self.record)


def lock(folder: Path) -> int | None:
    """A descriptor that holds the lock on a run folder; None while another process does."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_running(folder: Path) -> bool:
    """Whether a process trains the run of this folder now, whatever `run.json` says."""
    if not (folder / ".lock").exists():
        return False
    descriptor = lock(folder)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def standing(record: dict[str, Any], changed: list[str], code: str) -> str:
    """What is to be done about a run: done, ask, afresh, or go on (from its last checkpoint).

    Args:
        record: its `run.json`, empty where there is none.
        changed: source files that are not what the run was made by.
        code: what the user says of a finished run that other code made: check, reuse or rerun.
    """
    if code not in CODE:
        raise ValueError(f"code must be one of {', '.join(CODE)}, got {code!r}")
    if not record:
        return "go on"
    if record.get("status") == "diverged" and not changed:
        return "done"  # the same numbers again would end there again
    if record.get("status") != "finished":
        return "afresh" if changed else "go on"
    if not changed or code == "reuse":
        return "done"
    return "afresh" if code == "rerun" else "ask"


def other_code(folders: list[Path], changed: list[str]) -> str:
    """The sentence for finished runs that other code made."""
    runs = ", ".join(str(folder) for folder in folders[:3]) + (" ..." if len(folders) > 3 else "")
    files = ", ".join(changed[:5]) + (" ..." if len(changed) > 5 else "")
    return (
        f"{len(folders)} finished by other code ({files} changed): {runs}; "
        "add code=reuse to keep their results or code=rerun to train them again"
    )


def now() -> str:
    """The time of day, for people; nothing depends on it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
