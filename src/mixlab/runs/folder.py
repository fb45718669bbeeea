"""One run's folder: made, locked, and described in `run.json`."""

import itertools
import os
import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.errors import UserError
from mixlab.runs.atomic import read_json, write_json, write_text
from mixlab.runs.identity import arm_hash, arm_slug, run_folder, watching
from mixlab.runs.locks import seconds_with, taken
from mixlab.runs.provenance import changed_files, code_hashes, git_commit, reached_hashes, versions
from mixlab.runs.reach import reached_files
from mixlab.runs.status import (
    Action,
    Existing,
    Status,
    asked_again,
    first_names,
    next_action,
    other_data,
    status_of,
    transition,
    with_history,
)


class Refused(UserError):
    """A run that cannot go on as asked, and stays what it was."""


class Run:
    """A run folder in the hands of the process that trains it."""

    def __init__(self, folder: Path, cfg: DictConfig, lock: int | None = None) -> None:
        self.folder = folder
        self.cfg = cfg
        self.record = read_json(folder / "run.json")
        self._lock = lock
        self._aside: Path | None = None
        self._began = time.monotonic()

    @classmethod
    def open(cls, cfg: DictConfig) -> "Run":
        """Make and lock the folder of this configuration; with `existing=new`, an empty one.

        Raises:
            UserError: another process is training this very run.
        """
        folder = run_folder(cfg)
        run = cls(folder, cfg, taken(folder))
        os.register_at_fork(after_in_child=run.__exit__)  # or loader workers would hold the lock on
        if cfg.get("existing") == Existing.NEW:
            run.archive()
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

    def changed(self) -> list[str]:
        """Source files of the run that are not what they were, now that somebody looks."""
        before = self.record.get("code") or {}
        now = code_hashes(self.cfg.get("allow") or ())
        return changed_files(before, now, reached_files(self.cfg) if before else ())

    def next_action(self) -> Action:
        """What is to be done about it, now that somebody has asked for it by name.

        A run that failed is trained again; one that diverged would diverge again, and is left until
        `retry` or `existing=new` says otherwise.
        """
        retry = (Status.FAILED, *asked_again(self.cfg.get("retry")))
        begun = is_begun(self.folder)
        return next_action(self.record, self.changed(), self.cfg.existing, retry, begun)

    def archive(self) -> None:
        """Keep what an earlier training left as `seed-<n>.<number>`, and begin with nothing."""
        self.cfg.existing = str(Existing.CHECK)  # it is done; `config.yaml` asks for no other
        if status_of(self.record) in (None, Status.PLANNED):
            return
        names = (self.folder.with_name(f"{self.folder.name}.{n}") for n in itertools.count(1))
        self._aside = next(path for path in names if not path.exists())
        os.rename(self.folder, self._aside)
        self.__exit__()
        self._lock, self.record = taken(self.folder), {}

    def clear(self) -> None:
        """Remove what an earlier training left, all but the lock and what was printed."""
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name not in (".lock", "log.txt"):
                entry.unlink()
        history = with_history(self.record).get("history")
        self.record = {"history": history} if history else {}

    def is_untouched(self) -> bool:
        """Whether nothing has been written here yet, by any process."""
        return all(entry.name == ".lock" for entry in self.folder.iterdir())

    def discard(self) -> None:
        """Remove an untouched folder, and those above it that are empty; what lay there is back."""
        (self.folder / ".lock").unlink()
        for folder in (self.folder, *self.folder.parents[:2]):
            with suppress(OSError):
                folder.rmdir()
        if self._aside is not None:
            os.rename(self._aside, self.folder)

    def begin(self, *, goes_on: bool = False, **facts: Any) -> None:
        """Write `config.yaml` and a first `run.json`, status running.

        Args:
            goes_on: from a checkpoint of its own.

        Raises:
            Refused: the run resumes from a checkpoint, and its data are not what they were.
        """
        self._check_data(facts.get("data") or {}, goes_on)
        if status_of(self.record) is Status.RUNNING:  # nobody was left to say how long
            self.record["seconds"] = seconds_with(self.folder, self.record)
        stale = sorted({*self.record.get("stale_code", ()), *self.changed()}) if goes_on else []
        self.record.pop("stale_code", None)
        self._began = time.monotonic()
        if self._lock is not None:
            write_text(self.folder / "config.yaml", OmegaConf.to_yaml(self.cfg, resolve=True))
        self.move(
            Status.RUNNING,
            task_name=self.cfg.task_name,
            arm=arm_slug(self.cfg),
            hash=arm_hash(self.cfg),
            seed=self.cfg.seed,
            tags=list(self.cfg.tags),
            watching=watching(self.cfg),
            started=self.record.get("started") or now(),
            error=None,
            user_error=None,
            code=reached_hashes(self.cfg),
            versions=versions(),
            git=git_commit(),
            **({"stale_code": stale} if stale else {}),
            **facts,
        )

    def _check_data(self, data: dict[str, Any], goes_on: bool) -> None:
        """Those of the run itself, or of the run that `ckpt_path` is of."""
        start = self.cfg.get("ckpt_path")
        if goes_on:
            if why := other_data(self.folder, self.record.get("data") or {}, data):
                raise Refused(f"{why}, or add existing=new to archive it and train again")
        elif start is not None and self.cfg.get("existing") != Existing.REUSE:
            folder = Path(start).absolute().parents[1]
            before = read_json(folder / "run.json").get("data") or {}
            if why := other_data(folder, before, data):
                raise UserError(f"{why}, or add existing=reuse to start from it all the same")

    def end(self, status: Status, error: str | None = None, **facts: Any) -> None:
        """Write how it ended. `seconds` adds up over the processes that trained the run."""
        seconds = self.record.get("seconds", 0.0) + time.monotonic() - self._began
        self.move(status, error=error, ended=now(), seconds=round(seconds, 3), **facts)

    def move(self, status: Status, **facts: Any) -> None:
        """Go to another state, and add to `run.json`."""
        self.record = transition(self.record, status)
        self.write(**facts)

    def write(self, **facts: Any) -> None:
        """Add to `run.json`, atomically."""
        self.record = {**self.record, **facts}
        if self._lock is not None:
            write_json(self.folder / "run.json", self.record)


def keep_stale(folder: Path, changed: list[str]) -> None:
    """Say that a finished run is kept though other code made it, and mark its record."""
    print(f"kept, made by other code ({first_names(changed)} changed): {folder}", flush=True)
    record = read_json(folder / "run.json")
    if record.get("stale_code") != changed:
        write_json(folder / "run.json", {**record, "stale_code": changed})


def is_begun(folder: Path) -> bool:
    """Whether there is a checkpoint that a run could go on from."""
    return any((folder / "checkpoints").glob("*.ckpt"))


def now() -> str:
    """The time of day, for people; nothing depends on it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
