"""Remove what is not needed any more: shown with its size, and removed when asked."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from mixlab.errors import counted
from mixlab.runs.locks import lock
from mixlab.runs.records import StoredRun, find, is_archived, shown_path
from mixlab.runs.status import Status

# States of runs that may hold nothing.
UNFINISHED = (Status.PLANNED, Status.FAILED, Status.INTERRUPTED)
RUN_FILES = {"run.json", "config.yaml", "log.txt", "error.txt", ".lock"}  # worthless alone
# Folders of a run, and the files that would make each worth keeping.
MADE = {"checkpoints": "*.ckpt", "figures": "", "wandb": "offline-run-*"}


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
    """Show what can be removed; remove it with `yes`. Returns the number of places."""
    found = list(waste(find(paths).runs, checkpoints, replaced))
    total = 0
    for each in found:
        total += (size := each.size)
        print(f"{shown_path(each.path)}: {each.why}, {decimal(size)}")
    if not found:
        print("nothing to remove")
    elif not yes:
        print(f"{decimal(total)} in {counted(len(found), 'place')}; add --yes to remove them")
    else:
        gone = sum(map(remove, found))
        others = ", the others are in use" if gone < len(found) else ""
        print(f"{gone} of {len(found)} removed{others}")
    return len(found)


def waste(runs: Sequence[StoredRun], checkpoints: bool, replaced: bool) -> Iterator[Removable]:
    """What can be removed of each run."""
    for run in runs:
        if replaced:
            for old in sorted(run.folder.parent.glob(f"{run.folder.name}.*")):
                if is_archived(old.name):
                    yield Removable(old, old, "archived by existing=new")
        if run.status in UNFINISHED and holds_nothing(run.folder):
            yield Removable(run.folder, run.folder, f"{run.status}, holds nothing")
        elif run.status == Status.FINISHED and checkpoints:
            folder = run.folder / "checkpoints"
            for file in [] if folder.is_symlink() else sorted(folder.glob("*.ckpt")):
                yield Removable(file, run.folder, "checkpoint of a finished run")


def holds_nothing(folder: Path) -> bool:
    """Whether it is a run folder with nothing but the files of a run that came to nothing.

    A sweep.json from somebody else may name any folder.
    """
    return (folder / "run.json").is_file() and all(map(is_worthless, folder.iterdir()))


def is_worthless(entry: Path) -> bool:
    """Whether a file or folder in a run folder may be removed with it."""
    if entry.is_symlink():
        return False
    if entry.is_dir():
        worth = MADE.get(entry.name)
        return worth is not None and not (worth and any(entry.glob(worth)))
    return entry.name in RUN_FILES


def remove(each: Removable) -> bool:
    """Remove it, unless its run is being trained."""
    descriptor = lock(each.run)
    if descriptor is None:
        return False
    try:
        if each.path == each.run and not (is_archived(each.path.name) or holds_nothing(each.path)):
            return False  # it has begun in the meantime
        if each.path.is_dir():
            shutil.rmtree(each.path)
            with suppress(OSError):
                each.path.parent.rmdir()  # an arm without runs
        else:
            each.path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    return True
