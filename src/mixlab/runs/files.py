"""Small files that are whole or not there at all."""

import json
import math
import os
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """Write beside the final place, on the same file system, and rename.

    Args:
        durable: wait until the disk has it. What can be made again need not.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, record: Any, durable: bool = True) -> None:
    """As JSON that every reader takes: NaN and infinity become null."""
    write_text(path, json.dumps(finite(record), indent=1) + "\n", durable)


def read_json(path: Path) -> dict[str, Any]:
    """The record, or {} where there is none; a broken one is an error that names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON ({error}); move it away to go on") from None


def finite(node: Any) -> Any:
    """A copy without NaN and infinity, which JSON does not know."""
    if isinstance(node, dict):
        return {str(key): finite(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
