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
from mixlab.runs.provenance import changed_files, code_hashes, git_commit, versions
from mixlab.runs.status import asked_again, next_action, other_code, other_data, with_history


class Refused(ValueError):
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
        """Make and lock the folder of this configuration; with `rerun`, an empty one.

        Raises:
            RuntimeError: another process is training this very run.
        """
        folder = run_folder(cfg)
        run = cls(folder, cfg, taken(folder))
        os.register_at_fork(after_in_child=run.__exit__)  # or loader workers would hold the lock on
        if cfg.get("rerun"):
            run.set_aside()
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
        """Whether there is nothing to do. What other code left behind is cleared.

        A run that failed is trained again, for here it was asked for by name; one that diverged
        would do so again, and is left until `sweep.retry` or `rerun` says otherwise.
        """
        changed = changed_files(self.record.get("code", {}), code_hashes(self.cfg.get("allow", ())))
        retry = ("failed", *asked_again(OmegaConf.select(self.cfg, "sweep.retry")))
        fate = next_action(self.record, changed, self.cfg.code, retry, is_begun(self.folder))
        if fate == "ask":
            raise UserError(other_code([self.folder], changed))
        if fate == "afresh":
            self.clear()
        return fate in ("done", "leave")

    def set_aside(self) -> None:
        """Keep what an earlier training left as `seed-<n>.<number>`, and begin with nothing."""
        self.cfg.rerun = False  # it is done; `config.yaml` asks for no other
        if self.record.get("status") in (None, "planned"):
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
            Refused: the run goes on from a checkpoint, and its data are not what they were.
        """
        self._check_data(facts.get("data") or {}, goes_on)
        if self.record.get("status") == "running":  # nobody was left to say how long
            self.record["seconds"] = seconds_with(self.folder, self.record)
        self.record = with_history(self.record)
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
            watching=watching(self.cfg),
            started=self.record.get("started") or now(),
            error=None,
            user_error=None,
            code=code_hashes(self.cfg.get("allow", ())),
            versions=versions(),
            git=git_commit(),
            **facts,
        )

    def _check_data(self, data: dict[str, Any], goes_on: bool) -> None:
        """Those of the run itself, or of the run that `ckpt_path` is of."""
        start = self.cfg.get("ckpt_path")
        if goes_on:
            if why := other_data(self.folder, self.record.get("data") or {}, data):
                raise Refused(f"{why}, or add rerun=true to train afresh beside it")
        elif start is not None and not self.cfg.get("ckpt_force"):
            folder = Path(start).absolute().parents[1]
            before = read_json(folder / "run.json").get("data") or {}
            if why := other_data(folder, before, data):
                raise UserError(f"{why}, or add ckpt_force=true to start from it all the same")

    def end(self, status: str, error: str | None = None, **facts: Any) -> None:
        """Write how it ended. `seconds` adds up over the processes that trained the run."""
        seconds = self.record.get("seconds", 0.0) + time.monotonic() - self._began
        self.write(status=status, error=error, ended=now(), seconds=round(seconds, 3), **facts)

    def write(self, **facts: Any) -> None:
        """Add to `run.json`, atomically."""
        self.record = {**self.record, **facts}
        if self._lock is not None:
            write_json(self.folder / "run.json", self.record)


def is_begun(folder: Path) -> bool:
    """Whether there is a checkpoint that a run could go on from."""
    return any((folder / "checkpoints").glob("*.ckpt"))


def now() -> str:
    """The time of day, for people; nothing depends on it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
