"""What W&B has written offline, read back: a LevelDB log with a protobuf in each record."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, FIRST, HEADER = 32768, 7, 7  # bytes: of a block, of the file's header, of a record's header
WHOLE, LAST = 1, 4  # kinds of a part


def records(folder: Path) -> list[Any]:
    """Every record of the offline runs in a run folder, in order, each run to its end."""
    found: list[Any] = []
    for path in sorted((folder / "wandb").glob("offline-run-*/*.wandb")):
        until = time.monotonic() + 10
        while not ended(part := list(parsed(path.read_bytes()))) and time.monotonic() < until:
            time.sleep(0.02)  # the file is complete a moment after the run's `finish`
        found += part
    return found


def ended(part: list[Any]) -> bool:
    return bool(part) and part[-1].WhichOneof("record_type") == "exit"


def parsed(content: bytes) -> Iterator[Any]:
    """The records of a file."""
    at, whole = FIRST, b""
    while at + HEADER <= len(content):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        length = int.from_bytes(content[at + 4 : at + 6], "little")
        kind, at = content[at + 6], at + HEADER
        whole, at = whole + content[at : at + length], at + length
        if kind in (WHOLE, LAST):
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def noted(folder: Path, kind: str) -> dict[str, Any]:
    """The last word on each key of the `config` or `summary` of the runs in a folder."""
    found: dict[str, Any] = {}
    for record in records(folder):
        if record.WhichOneof("record_type") == kind:
            for item in getattr(record, kind).update:
                found[name_of(item)] = json.loads(item.value_json)
    return found


def logged(folder: Path) -> list[dict[str, Any]]:
    """The rows of the history."""
    return [
        {name_of(item): json.loads(item.value_json) for item in each.history.item}
        for each in records(folder)
        if each.WhichOneof("record_type") == "history"
    ]


def name_of(item: Any) -> str:
    return item.key or "/".join(item.nested_key)
