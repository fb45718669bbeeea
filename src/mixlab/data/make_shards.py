"""Make a set of shards of a folder or a CSV file of images, whose bytes are copied as they are.

    python -m mixlab.data.make_shards data/imagenet data/imagenet-shards
    python -m mixlab.data.make_shards labels.csv shards --shard-mb 64
    python -m mixlab.data.make_shards --check data/imagenet-shards

An interrupted command goes on where it stopped when it is repeated. A finished set is never written
to. --check reads every file of a set and compares its SHA-256.
"""

import argparse
import fcntl
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixlab.data.csv_files import Csv
from mixlab.data.folder import Folder
from mixlab.data.image_files import Entry, ImageFiles
from mixlab.data.shard_files import (
    FORMAT,
    INDEX,
    MANIFEST,
    PLAN,
    Shard,
    array_record,
    damaged,
    open_shard,
    read_set,
    sha256_of,
)
from mixlab.data.spec import SPLITS, Datasets
from mixlab.errors import UserError, counted, one_sentence
from mixlab.mixing import Address, Purpose, stream
from mixlab.runs.atomic import write_json, writing

ONE_EACH = "group_size:1,uncompressed"  # one record a block; JPEG files do not get any smaller
ANY_SIZE = 2  # images are not resized here, so that they may differ in size
MB = 10**6


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of a split on their way into shards.

    Attributes:
        places: int64 (N,): the place of each row in the shards, random so that rows stored together
            are not alike: a folder lists its images class by class.
        known: bytes of each image file, and when it was changed, in nanoseconds.
        count: of the shards.
    """

    name: str
    files: ImageFiles
    places: np.ndarray
    known: list[tuple[int, int]]
    count: int

    @staticmethod
    def of(name: str, files: ImageFiles, shard_bytes: int) -> "Part":
        order = stream(Address(0, 0, 0, 0), Purpose.ORDER)
        known = [size_and_time(files, entry) for entry in files.entries]
        count = min(len(files), math.ceil(sum(size for size, _ in known) / shard_bytes))
        return Part(name, files, order.permutation(len(files)), known, count)

    def shards(self) -> Iterator[tuple[str, list[Entry]]]:
        """The file name of each shard, and its rows in their order."""
        rows = np.argsort(self.places)
        for number, part in enumerate(np.array_split(rows, self.count)):
            yield f"{self.name}-{number:05d}.array_record", [self.files.entries[n] for n in part]


def size_and_time(files: ImageFiles, entry: Entry) -> tuple[int, int]:
    """Bytes of an image file, and when it was changed."""
    found = os.stat(os.path.join(files.root, entry.name))
    return found.st_size, found.st_mtime_ns


def listed_images(source: str, *, skip_bad: bool = False, **columns: str) -> Datasets:
    """The images of a folder of class folders, or of a CSV file; the header of each is read."""
    options: dict[str, Any] = {"image_size": ANY_SIZE, "on_error": "skip" if skip_bad else "raise"}
    if Path(source).is_dir():
        return Folder(source, **options).splits()
    return Csv(source, **columns, **options).splits()


def make(found: Datasets, output: Path, shard_bytes: int) -> None:
    """Write a set of shards, or what is missing of it.

    Raises:
        UserError: something else is in the folder, or there is no room.
    """
    named = {name: files for name, files in found._asdict().items() if files is not None}
    parts = [Part.of(name, files, shard_bytes) for name, files in named.items()]
    with begun(output, digest_of_plan(parts)):
        check_room(output, parts)
        shards = {
            part.name: [write_shard(output, part, *each) for each in part.shards()]
            for part in parts
        }
        manifest = {
            "format": FORMAT,
            "classes": parts[0].files.classes,
            "index": asdict(write_rows(output, parts)),
            "splits": {name: [asdict(each) for each in shards.get(name, ())] for name in SPLITS},
        }
        write_json(output / MANIFEST, manifest)
        (output / PLAN).unlink()


def digest_of_plan(parts: Sequence[Part]) -> str:
    """SHA-256 of which images, as they are now, go where."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr((FORMAT, part.name, part.count, part.files.classes)).encode())
        for entry, known in zip(part.files.entries, part.known, strict=True):
            digest.update(repr((entry.name, entry.label, known)).encode())
    return digest.hexdigest()


@contextmanager
def begun(output: Path, digest: str) -> Iterator[None]:
    """Within, the folder is this process's; it is new, or has part of the same set."""
    if (output / MANIFEST).exists():
        raise UserError(f"{output} is a finished set of shards; remove it, or name another folder")
    plan = output / PLAN
    if output.exists() and not plan.exists() and any(output.iterdir()):
        raise UserError(f"{output} has other files in it; name a new folder")
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        file = open(plan, "a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is making {output}; wait for it") from None
        file.seek(0)
        before = file.read()
        if before and before != json.dumps({"sha256": digest}):
            raise UserError(
                f"{output} was begun with other images or options; repeat that command, or remove "
                "the folder"
            )
        if not before:
            file.write(json.dumps({"sha256": digest}))
            file.flush()
        yield


def check_room(output: Path, parts: Sequence[Part]) -> None:
    """Raise UserError if the disk is too small for what is not there yet."""
    sizes = (size for part in parts for size, _ in part.known)
    there = sum(path.stat().st_size for path in output.iterdir())
    needed, free = sum(sizes) - there, shutil.disk_usage(output).free
    if needed > free:
        raise UserError(
            f"{output} needs {needed / MB:,.0f} MB more and its disk has {free / MB:,.0f}; name a "
            "folder on a larger one"
        )


def write_shard(output: Path, part: Part, name: str, entries: list[Entry]) -> Shard:
    """Write one shard, completely or not at all, unless it is there."""
    path = output / name
    if not path.exists():
        unfinished = output / f"{name}.part"
        try:
            writer = array_record().ArrayRecordWriter(str(unfinished), ONE_EACH)
            for entry in entries:
                image = Path(part.files.root, entry.name).read_bytes()
                writer.write(entry.name.encode(errors="surrogateescape") + b"\0" + image)
            writer.close()
            open_shard(unfinished, len(entries))
        except RuntimeError as error:
            raise UserError(f"{unfinished} cannot be written ({error})") from None
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        print(f"{path}: {counted(len(entries), 'image')}", flush=True)
    return Shard(name, len(entries), path.stat().st_size, sha256_of(path))


def write_rows(output: Path, parts: Sequence[Part]) -> Shard:
    """Write where each row is, and its class."""
    arrays: dict[str, Any] = {}
    for part in parts:
        arrays[f"{part.name}_labels"] = np.array([e.label for e in part.files.entries], np.int64)
        arrays[f"{part.name}_places"] = part.places
    path = output / INDEX
    with writing(path):
        np.savez(path, **arrays)
    rows = sum(len(part.files) for part in parts)
    return Shard(INDEX, rows, path.stat().st_size, sha256_of(path))


def check(folder: Path) -> int:
    """The number of images of a set; UserError for a file whose SHA-256 is another."""
    found = read_set(folder)
    for part in found.splits.values():
        for shard in part.shards:
            if sha256_of(folder / shard.name) != shard.sha256:
                raise damaged(folder / shard.name, "has other contents than when it was made")
    return sum(len(part.labels) for part in found.splits.values())


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "make_shards", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="a folder of class folders, or a CSV file; see docs")
    parser.add_argument("output", type=Path, nargs="?", help="a new folder")
    parser.add_argument("--shard-mb", type=float, default=256, help="size of a shard in MB")
    parser.add_argument("--skip-bad", action="store_true", help="leave out what does not decode")
    for name in ("image", "label", "split"):
        parser.add_argument(f"--{name}-column", default=name, help="of a CSV file")
    parser.add_argument("--check", action="store_true", help="compare the files of a finished set")
    options = parser.parse_args(arguments)
    if (options.output is None) != options.check:
        parser.error("give a source and an output, or --check and a set of shards")
    if not 0 < options.shard_mb < math.inf:
        parser.error("--shard-mb must be above 0")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(arguments)
    with one_sentence("make_shards"):
        if options.check:
            number = check(Path(options.source))
            print(f"{options.source}: {counted(number, 'image')}, every file as it was made")
            return
        array_record()
        columns = {key: value for key, value in vars(options).items() if key.endswith("_column")}
        found = listed_images(options.source, skip_bad=options.skip_bad, **columns)
        make(found, options.output, round(options.shard_mb * MB))
        number = sum(len(part) for part in found if part is not None)
        where = f"data=shards data.path={options.output}"
        print(f"{options.output}: {counted(number, 'image')}; {where}")


if __name__ == "__main__":
    sys.exit(main())
