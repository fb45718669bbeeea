"""Small files that are whole or not there at all."""

import errno
import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mixlab.errors import ForUsers, UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, text.encode(), durable=durable)


def write_bytes(
    path: Path,
    data: bytes | memoryview,
    *,
    before: Callable[[Path], object] | None = None,
    durable: bool = True,
) -> None:
    """Write beside the final place, on the same file system, sync and rename.

    Args:
        before: called with `path` when the new file is whole and about to take its place.
        durable: wait until the disk has it. What can be made again need not.

    Raises:
        CannotWrite: the disk is full, or one may not write there.
        OSError: of another kind. What was there before is as it was.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with writing(path), open(part, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if before is not None:
            before(path)
        os.replace(part, path)
    finally:
        with suppress(OSError):  # why it could not be written says more
            part.unlink(missing_ok=True)


def make_folder(folder: Path, key: str = "paths.log_dir") -> None:
    """Make a folder, and those above it, where they are not there.

    Args:
        key: what the user sets to choose another place.

    Raises:
        CannotWrite: it cannot be made there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error, key) from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within, a full disk or a place that takes no files is an error that says so in a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in (*FULL, *REFUSED):
            raise
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError, key: str = "paths.log_dir") -> "CannotWrite":
    """An error of the system's, as a sentence with the path and what to do."""
    if error.errno in FULL:
        return DiskFull(
            f"there was no room left on the disk to write {path}; make some, and the same command "
            "resumes from what is there"
        )
    why = error.strerror or str(error)
    return CannotWrite(
        f"{path} cannot be written ({why}); choose a folder that you may write to with {key}=..."
    )


class CannotWrite(ForUsers, OSError):
    """A file or folder could not be written."""


class DiskFull(CannotWrite):
    """For want of space."""


def write_json(path: Path, record: Any, *, durable: bool = True) -> None:
    """As JSON that every reader takes: NaN and infinity become null."""
    write_text(path, json.dumps(finite(record), indent=1) + "\n", durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """The record, or {} where there is none; a broken one is an error that names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise UserError(
            f"{path} is not readable JSON ({error}); move it away to continue"
        ) from None


def finite(node: Any) -> Any:
    """A copy without NaN and infinity, which JSON does not know."""
    if isinstance(node, dict):
        return {str(key): finite(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
