"""Remove what is worth nothing any more: first shown with its size, then removed when asked."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mixlab.errors import counted
from mixlab.runs.locks import lock
from mixlab.runs.records import StoredRun, find, is_archived, shown_path
from mixlab.runs.status import Status

# States of runs that may have come to nothing.
UNFINISHED = (Status.PLANNED, Status.FAILED, Status.INTERRUPTED)
RUN_FILES = {"run.json", "config.yaml", "log.txt", "error.txt", ".lock"}  # worth nothing alone
MADE = {"checkpoints": "*.ckpt", "figures": "", "wandb": "offline-run-*"}  # and what would be


@dataclass(frozen=True)
class Removable:
    """Something to remove, and the run whose lock guards it."""

    path: Path
    run: Path
    why: str

    @property
    def size(self) -> int:
        """In bytes."""
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(file.lstat().st_size for file in files if not file.is_dir())


def clean(
    paths: Sequence[str], *, checkpoints: bool = False, replaced: bool = False, yes: bool = False
) -> int:
    """Show what can go; remove it with `yes`. Returns how many things went or would go."""
    found = list(waste(find(paths).runs, checkpoints, replaced))
    total = 0
    for each in found:
        total += (size := each.size)
        print(f"{shown_path(each.path)}: {each.why}, {readable(size)}")
    if not found:
        print("nothing to remove")
    elif not yes:
        print(f"{readable(total)} in {counted(len(found), 'place')}; add --yes to remove them")
    else:
        gone = sum(map(remove, found))
        print(f"{gone} of {len(found)} removed" + ", the others are in use" * (gone < len(found)))
    return len(found)


def waste(runs: Sequence[StoredRun], checkpoints: bool, replaced: bool) -> Iterator[Removable]:
    """What can go of each run."""
    for run in runs:
        if replaced:
            for old in aside(run.folder):
                yield Removable(old, old, "archived by existing=new")
        if run.status in UNFINISHED and holds_nothing(run.folder):
            yield Removable(run.folder, run.folder, f"{run.status}, holds nothing")
        elif run.status == Status.FINISHED and checkpoints:
            folder = run.folder / "checkpoints"
            for file in [] if folder.is_symlink() else sorted(folder.glob("*.ckpt")):
                yield Removable(file, run.folder, "checkpoint of a finished run")


def holds_nothing(folder: Path) -> bool:
    """Whether it is a run's, without a checkpoint, a figure, or anything that is not ours.

    A list of runs may come from a stranger, and name any folder.
    """
    if not (folder / "run.json").is_file():
        return False
    return all(is_worthless(entry) for entry in folder.iterdir())


def is_worthless(entry: Path) -> bool:
    """Whether something in a run folder may go with it."""
    if entry.is_symlink():
        return False
    if entry.is_dir():
        worth = MADE.get(entry.name)
        return worth is not None and not (worth and any(entry.glob(worth)))
    return entry.name in RUN_FILES


def aside(folder: Path) -> list[Path]:
    """The folders that `existing=new` has archived for this one."""
    return sorted(path for path in folder.parent.glob(f"{folder.name}.*") if is_archived(path.name))


def remove(each: Removable) -> bool:
    """Remove it, unless its run is being trained."""
    descriptor = lock(each.run)
    if descriptor is None:
        return False
    try:
        if each.path == each.run and not (is_archived(each.path.name) or holds_nothing(each.path)):
            return False  # begun meanwhile
        if each.path.is_dir():
            shutil.rmtree(each.path)
            with suppress(OSError):
                each.path.parent.rmdir()  # an arm without runs
        else:
            each.path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    return True


def readable(size: float) -> str:
    """Bytes, for people."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
