"""Remove what is worth nothing any more: first shown with its size, then removed when asked."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mixlab.reporting.records import Run, find, shown
from mixlab.runs.run import lock
from mixlab.words import counted

EMPTY = ("planned", "failed", "interrupted")  # states of runs that may have come to nothing
WORTH = ("checkpoints/*.ckpt", "metrics.csv")  # what is worth keeping of a run without a result


@dataclass(frozen=True)
class Waste:
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
        print(f"{shown(each.path)}: {each.why}, {readable(size)}")
    if not found:
        print("nothing to remove")
    elif not yes:
        print(f"{readable(total)} in {counted(len(found), 'place')}; add --yes to remove them")
    else:
        gone = sum(map(remove, found))
        print(f"{gone} of {len(found)} removed" + ", the others are in use" * (gone < len(found)))
    return len(found)


def waste(runs: Sequence[Run], checkpoints: bool, replaced: bool) -> Iterator[Waste]:
    """What can go of each run."""
    for run in runs:
        if replaced:
            for old in aside(run.folder):
                yield Waste(old, old, "set aside by rerun=true")
        if run.status in EMPTY and run.folder.is_dir() and not holds_anything(run.folder):
            yield Waste(run.folder, run.folder, f"{run.status}, holds nothing")
        elif run.status == "finished" and checkpoints:
            for file in sorted((run.folder / "checkpoints").glob("*.ckpt")):
                yield Waste(file, run.folder, "checkpoint of a finished run")


def holds_anything(folder: Path) -> bool:
    """Whether there is a checkpoint to go on from, or a figure to look at."""
    return any(any(folder.glob(pattern)) for pattern in WORTH)


def aside(folder: Path) -> list[Path]:
    """The folders that `rerun=true` has set aside for this one."""
    named = re.compile(re.escape(folder.name) + r"\.\d+")
    return sorted(
        path for path in folder.parent.glob(f"{folder.name}.*") if named.fullmatch(path.name)
    )


def remove(each: Waste) -> bool:
    """Remove it, unless its run is being trained."""
    descriptor = lock(each.run)
    if descriptor is None:
        return False
    try:
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
