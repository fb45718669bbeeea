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
from mixlab.runs.provenance import (
    changed_files,
    code_hashes,
    command_line,
    git_commit,
    reached_hashes,
    versions,
)
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
    """A run that cannot continue as asked; its status stays."""


class Run:
    """A run's folder. Without its lock, as in the other ranks of a run, nothing is written."""

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
            UserError: another process is training this run.
        """
        folder = run_folder(cfg)
        run = cls(folder, cfg, taken(folder))
        os.register_at_fork(after_in_child=run.__exit__)  # or loader workers would keep the lock
        if cfg.get("existing") == Existing.NEW:
            run.archive()
        return run

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def is_own(self) -> bool:
        """Whether this process holds the lock: of several ranks, the first one does."""
        return self._lock is not None

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def changed(self) -> list[str]:
        """Source files of the run that changed since it was trained."""
        before = self.record.get("code") or {}
        now = code_hashes(self.cfg.get("allow") or ())
        return changed_files(before, now, reached_files(self.cfg) if before else ())

    def next_action(self) -> Action:
        """What to do about this run, which the user asked for by name.

        A run that failed is trained again, and one that a search has pruned is trained to its end.
        One that diverged would diverge again, so it is left until `retry` or `existing=new` asks.
        """
        retry = (Status.FAILED, Status.PRUNED, *asked_again(self.cfg.get("retry")))
        begun = is_begun(self.folder)
        return next_action(self.record, self.changed(), self.cfg.existing, retry, begun)

    def archive(self) -> None:
        """Keep an earlier training as `seed-<n>.<number>`, and start with an empty folder."""
        self.cfg.existing = str(Existing.CHECK)  # `config.yaml` does not ask for it again
        if status_of(self.record) in (None, Status.PLANNED):
            return
        names = (self.folder.with_name(f"{self.folder.name}.{n}") for n in itertools.count(1))
        self._aside = next(path for path in names if not path.exists())
        os.rename(self.folder, self._aside)
        self.__exit__()
        self._lock, self.record = taken(self.folder), {}

    def clear(self) -> None:
        """Remove everything that an earlier training left, except the lock and the log."""
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name not in (".lock", "log.txt"):
                entry.unlink()
        kept = with_history(self.record)
        self.record = {key: kept[key] for key in ("history", "label", "command") if kept.get(key)}

    def is_untouched(self) -> bool:
        """Whether no process has written anything here yet."""
        return all(entry.name == ".lock" for entry in self.folder.iterdir())

    def discard(self) -> None:
        """Remove an untouched folder and its empty parents; put back what was archived."""
        (self.folder / ".lock").unlink()
        for folder in (self.folder, *self.folder.parents[:2]):
            with suppress(OSError):
                folder.rmdir()
        if self._aside is not None:
            os.rename(self._aside, self.folder)

    def begin(self, *, resumes: bool = False, **facts: Any) -> None:
        """Write `config.yaml` and a first `run.json`, status running.

        Args:
            resumes: from a checkpoint of its own.

        Raises:
            Refused: the run resumes from a checkpoint, and its data changed.
        """
        self._check_data(facts.get("data") or {}, resumes)
        if status_of(self.record) is Status.RUNNING:  # its process died
            self.record["seconds"] = seconds_with(self.folder, self.record)
        stale = self.record.pop("stale_code", ())
        if resumes and (stale := sorted({*stale, *self.changed()})):
            facts["stale_code"] = stale
        self._began = time.monotonic()
        if self._lock is not None:
            write_text(self.folder / "config.yaml", OmegaConf.to_yaml(self.cfg, resolve=True))
        self.record = transition(self.record, Status.RUNNING)
        self.write(
            task_name=self.cfg.task_name,
            arm=arm_slug(self.cfg),
            hash=arm_hash(self.cfg),
            seed=self.cfg.seed,
            tags=list(self.cfg.tags),
            trial_of=self.cfg.get("trial_of"),
            watching=watching(self.cfg),
            started=self.record.get("started") or now(),
            error=None,
            user_error=None,
            code=reached_hashes(self.cfg),
            versions=versions(),
            git=git_commit(),
            command=command_line() or self.record.get("command"),
            **facts,
        )

    def _check_data(self, data: dict[str, Any], resumes: bool) -> None:
        """Compare with the data of the run itself, or of the run that `ckpt_path` belongs to."""
        start = self.cfg.get("ckpt_path")
        if resumes:
            if why := other_data(self.folder, self.record.get("data") or {}, data):
                raise Refused(f"{why}, or add existing=new to archive it and train again")
        elif start is not None and self.cfg.get("existing") != Existing.REUSE:
            folder = Path(start).absolute().parents[1]
            before = read_json(folder / "run.json").get("data") or {}
            if why := other_data(folder, before, data):
                raise UserError(f"{why}, or add existing=reuse to start from it anyway")

    def end(self, status: Status, error: str | None = None, **facts: Any) -> None:
        """Write how it ended. `seconds` adds up over the processes that trained the run."""
        seconds = self.record.get("seconds", 0.0) + time.monotonic() - self._began
        self.record = transition(self.record, status)
        self.write(error=error, ended=now(), seconds=round(seconds, 3), **facts)

    def write(self, **facts: Any) -> None:
        """Add to `run.json`, atomically."""
        self.record = {**self.record, **facts}
        if self._lock is not None:
            write_json(self.folder / "run.json", self.record)


def keep_stale(folder: Path, changed: list[str]) -> None:
    """Report that a finished run made by other code is kept, and mark its record."""
    print(f"kept, made by other code ({first_names(changed)} changed): {folder}", flush=True)
    record = read_json(folder / "run.json")
    if record.get("stale_code") != changed:
        write_json(folder / "run.json", {**record, "stale_code": changed})


def is_begun(folder: Path) -> bool:
    """Whether there is a checkpoint that a run could resume from."""
    return any((folder / "checkpoints").glob("*.ckpt"))


def now() -> str:
    """The time of day, for people; nothing depends on it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
