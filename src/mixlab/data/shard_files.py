"""The files of a set of shards: many images in few files, each image found by its number.

A set is a folder with

- `<split>-00000.array_record`, ...: the shards, read with the library `array_record`. A record is
  the name of an image, a zero byte, and the bytes of its JPEG or PNG file as they were. The rows of
  a split are dealt to its shards at random, always in the same way.
- `index.npz`: `<split>_labels`, int64 (N,), and `<split>_places`, int64 (N,): the place of each row
  in the shards of its split, counted through all of them.
- `shards.json`: classes, number of rows, size and SHA-256 of every file. It is written last.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixlab.data.map_style import BadItem
from mixlab.data.spec import SPLITS
from mixlab.errors import MissingExtra, UserError

MANIFEST = "shards.json"
INDEX = "index.npz"
PLAN = "plan.json"  # what an unfinished set is made of
FORMAT = 1
MAKE = "python -m mixlab.data.make_shards"
MOST_OPEN = 256  # shards; the usual limit is 1,024 files a process
FOR_RANDOM_ACCESS = "readahead_buffer_size:0,max_parallelism:0"
READ_AT_ONCE = 1 << 15  # bytes


def array_record() -> Any:
    """The library's module with reader and writer; imported when needed, for it is an extra."""
    try:
        from array_record.python import array_record_module  # pyright: ignore
    except ImportError:
        raise MissingExtra(
            "a set of shards needs array_record, which is not installed; "
            "pip install 'mixlab[shards]'"
        ) from None
    return array_record_module


@dataclass(frozen=True)
class Shard:
    """One file: its name in the folder of the set, its records, size in bytes, and SHA-256."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, eq=False)
class ShardSplit:
    """The rows of a split: int64 (N,) labels, and int64 (N,) places in its shards."""

    folder: Path
    shards: tuple[Shard, ...]
    labels: np.ndarray
    places: np.ndarray

    @cached_property
    def starts(self) -> np.ndarray:
        """int64 (S,): the place at which each shard begins."""
        return np.cumsum([0, *(shard.rows for shard in self.shards)])[:-1]

    def shards_of(self, places: np.ndarray) -> np.ndarray:
        """int64 (N,): the number of the shard in which each place is."""
        return np.searchsorted(self.starts, places, side="right") - 1


@dataclass(frozen=True, eq=False)
class ShardSet:
    """A whole set. `digest` is the SHA-256 of `shards.json`, which has that of every other file."""

    classes: tuple[str, ...]
    splits: dict[str, ShardSplit]
    digest: str


def read_set(folder: Path) -> ShardSet:
    """Read the index of a set, and see that every shard is there and has its size.

    Raises:
        UserError: there is no such set, or a file of it is missing, damaged or not whole.
    """
    text = manifest_of(folder)
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise UserError(
                f"{folder / MANIFEST} has format {found['format']}, where mixlab reads {FORMAT}; "
                f"make the set again with {MAKE}"
            )
        shards = {name: [Shard(**each) for each in found["splits"][name]] for name in SPLITS}
        index = Shard(**found["index"])
        classes = tuple(map(str, found["classes"]))
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise damaged(folder / MANIFEST, "is not what mixlab wrote") from None
    for each in (index, *(shard for part in shards.values() for shard in part)):
        check_file(folder, each)
    if sha256_of(folder / INDEX) != index.sha256:
        raise damaged(folder / INDEX, "is not the one that belongs to the shards")
    with np.load(folder / INDEX) as arrays:
        splits = {
            name: ShardSplit(
                folder, tuple(part), arrays[f"{name}_labels"], arrays[f"{name}_places"]
            )
            for name, part in shards.items()
            if part
        }
    return ShardSet(classes, splits, hashlib.sha256(text).hexdigest())


def manifest_of(folder: Path) -> bytes:
    """The bytes of `shards.json`; UserError where there is none."""
    try:
        return (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        raise UserError(f"{folder} is a file; set data.path to a folder of shards") from None
    if not folder.exists():
        raise UserError(f"the folder {folder} is not there; {MAKE} FOLDER {folder} makes it")
    if (folder / PLAN).exists():
        raise UserError(f"the shards in {folder} are unfinished; repeat the {MAKE} that began them")
    raise UserError(
        f"{folder} is no set of shards, for it has no {MANIFEST}; {MAKE} {folder} OUTPUT makes one "
        "of a folder of images, and data=folder reads it as it is"
    )


def check_file(folder: Path, shard: Shard) -> None:
    """Raise UserError unless the file lies in the folder and has its size."""
    path = folder / shard.name
    if os.path.basename(shard.name) != shard.name:
        raise UserError(f"{folder / MANIFEST} names a file outside of its folder, {shard.name!r}")
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise damaged(path, f"is not there, though {MANIFEST} lists it") from None
    if size != shard.bytes:
        raise damaged(path, f"has {size} bytes, not the {shard.bytes} that {MANIFEST} lists")


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path} {what}; copy the set again, or make it again with {MAKE}")


@dataclass(eq=False)
class ShardReaders:
    """The open shards of a split in one process: a fork, such as a worker, opens its own."""

    split: ShardSplit
    opened: dict[int, Any] = field(default_factory=dict)
    pid: int = field(default_factory=os.getpid)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "opened": {}}

    def record(self, shard: int, number: int) -> tuple[str, bytes]:
        """Name and bytes of an image.

        Raises:
            BadItem: the shard cannot be read; the library checks a hash with each record.
        """
        path = self.split.folder / self.split.shards[shard].name
        try:
            reader = self.reader(shard, path)
            reader.seek(number)  # reading by number takes longer, the more records there are
            name, _, data = reader.read().partition(b"\0")
        except (RuntimeError, ValueError, OSError) as error:
            why = str(error).partition(";")[0]
            told = damaged(path, f"cannot be read at record {number} ({why})")
            raise BadItem(str(told)) from None  # a worker passes it on without its traceback
        return name.decode(errors="replace"), data

    def reader(self, shard: int, path: Path) -> Any:
        """The open shard; the one opened first is closed if there are too many."""
        if self.pid != os.getpid():
            self.opened, self.pid = {}, os.getpid()
        if shard not in self.opened:
            if len(self.opened) >= MOST_OPEN:
                self.opened.pop(next(iter(self.opened))).close()
            self.opened[shard] = open_shard(path, self.split.shards[shard].rows)
        return self.opened[shard]


def open_shard(path: Path, rows: int) -> Any:
    """The library's reader; RuntimeError if it finds another number of records."""
    reader = array_record().ArrayRecordReader(
        str(path), FOR_RANDOM_ACCESS, file_reader_buffer_size=READ_AT_ONCE
    )
    if reader.num_records() != rows:
        raise RuntimeError(f"{reader.num_records()} records, not {rows}")
    return reader
