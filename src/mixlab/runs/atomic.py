"""Write small files so that they are complete or absent."""

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
    """Like `write_bytes`, in UTF-8."""
    write_bytes(path, text.encode(), durable=durable)


def write_bytes(
    path: Path,
    data: bytes | memoryview,
    *,
    before: Callable[[Path], object] | None = None,
    durable: bool = True,
) -> None:
    """Write a temporary file in the same folder, sync it, and rename it to `path`.

    If anything fails, the old file stays as it is.

    Args:
        before: called with `path` when the new file is complete, just before the rename.
        durable: sync to disk; not needed for files that can be made again.

    Raises:
        CannotWrite: the disk is full, or writing there is not permitted.
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
        with suppress(OSError):  # the first error says more
            part.unlink(missing_ok=True)


def make_folder(folder: Path, key: str = "paths.log_dir") -> None:
    """Make a folder and its parents, unless they exist; CannotWrite if that fails.

    Args:
        key: the configuration key that chooses another place.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error, key) from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within, a full disk or a missing permission is a CannotWrite with the path and a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in (*FULL, *REFUSED):
            raise
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError, key: str = "paths.log_dir") -> "CannotWrite":
    """A system error as a sentence with the path and a remedy."""
    if error.errno in FULL:
        return DiskFull(
            f"there was no room left on the disk to write {path}; make some, and the same command "
            "resumes from there"
        )
    why = error.strerror or str(error)
    return CannotWrite(
        f"{path} cannot be written ({why}); choose a folder that you may write to with {key}=..."
    )


class CannotWrite(ForUsers, OSError):
    """A file or folder could not be written."""


class DiskFull(CannotWrite):
    """No space was left."""


def write_json(path: Path, record: Any, *, durable: bool = True) -> None:
    """Write standard JSON: NaN and infinity become null."""
    write_text(path, json.dumps(finite(record), indent=1) + "\n", durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """The record, or {} where there is none; UserError if it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise UserError(
            f"{path} is not readable JSON ({error}); move it away to continue"
        ) from None


def finite(node: Any) -> Any:
    """A copy with None for NaN and infinity, which JSON does not have."""
    if isinstance(node, dict):
        return {str(key): finite(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
