"""Images in shards: data that are larger than memory, or too many files for a file system."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from mixlab.checks import CHANNELS, whole
from mixlab.data.crops import Square
from mixlab.data.decode import UNREADABLE_IMAGE, decode_error, pixels_of
from mixlab.data.holdout import hold_out
from mixlab.data.image_files import HELD_OUT, OWN
from mixlab.data.map_style import BadItem
from mixlab.data.shard_files import MAKE, ShardReaders, ShardSet, ShardSplit, array_record, read_set
from mixlab.data.spec import Datasets
from mixlab.errors import UserError


@dataclass(frozen=True)
class Shards:
    """A set of shards, as `mixlab.data.make_shards` makes it.

    Rows, classes and splits are those of the folder or the CSV file that it was made of, so that
    every run is the same as one on these.

    Attributes:
        path: of the folder with `shards.json`.
        test_size: without test rows, the share or number of the training rows that test.
        channels: 3 for color, 1 for gray.
        image_size, crop: see `Square`.
        shuffle_shards: None shuffles all training rows; a number takes the shards in random order,
            so many at a time, and shuffles the rows within these.
    """

    path: str
    test_size: float = 0
    channels: int = 3
    image_size: int | None = None
    crop: str | None = None
    shuffle_shards: int | None = None

    def splits(self) -> Datasets:
        """Read the index, and see that every shard is there.

        Raises:
            UserError: there is no such set, it is not whole, or `array_record` is not installed.
        """
        CHANNELS.check("data.channels", self.channels)
        whole(1).or_(None).check("data.shuffle_shards", self.shuffle_shards)
        square = Square(self.image_size, self.crop)
        array_record()
        found = read_set(Path(self.path).expanduser())
        has_test = "test" in found.splits
        parts = {"train": "train", "val": "val", "test": "test" if has_test else "train"}
        datasets = {
            name: ShardedImages(
                found,
                parts[name],
                rows,
                square,
                self.channels,
                self.shuffle_shards,
                test_split=(OWN if has_test else HELD_OUT) if name == "test" else None,
            )
            for name, rows in self.rows_of(found).items()
            if len(rows)
        }
        return Datasets(**datasets)

    def rows_of(self, found: ShardSet) -> dict[str, np.ndarray]:
        """int64 rows of each part, counted in the split where they are."""
        rows = {name: np.arange(len(part.labels)) for name, part in found.splits.items()}
        if "test" not in rows:
            labels = found.splits["train"].labels
            size = self.test_size
            rows["train"], rows["test"] = hold_out(labels, len(labels), size, key="data.test_size")
        elif self.test_size:
            raise UserError(f"{self.path} has rows to test on, so data.test_size must be 0")
        return rows


class ShardedImages(Dataset):
    """A map-style data set of (uint8 (C, H, W) image, class) pairs, read and decoded on access.

    Attributes:
        targets: int64 (N,), the classes.
        digest: SHA-256 of the whole set.
    """

    def __init__(
        self,
        found: ShardSet,
        part: str,
        rows: np.ndarray,
        square: Square,
        channels: int,
        shuffle_shards: int | None = None,
        test_split: str | None = None,
    ) -> None:
        self.split: ShardSplit = found.splits[part]
        self.readers = ShardReaders(self.split)
        self.classes, self.digest = found.classes, found.digest
        self.targets, self.places = self.split.labels[rows], self.split.places[rows]
        self.square, self.channels, self.shuffle_shards = square, channels, shuffle_shards
        self.test_split, self.training = test_split, False

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        place = self.places[row]
        shard = int(self.split.shards_of(place))
        number = int(place - self.split.starts[shard])
        name, data = self.readers.record(shard, number)
        try:
            image = pixels_of(data, self.channels)
        except UNREADABLE_IMAGE as error:
            raise BadItem(
                f"{name} in {self.split.folder / self.split.shards[shard].name}, record {number}, "
                f"cannot be decoded ({decode_error(error)}); leave it out with {MAKE} --skip-bad"
            ) from None
        return self.square(image, training=self.training), int(self.targets[row])

    def for_training(self) -> "ShardedImages":
        """The same with the random parts that training sees."""
        other = copy.copy(self)
        other.training = True
        return other

    def shuffled(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64 rows in random order; with `shuffle_shards`, those of a few shards at a time."""
        if self.shuffle_shards is None:
            return rng.permutation(rows)
        order = rng.permutation(len(self.split.shards)) // self.shuffle_shards
        group = order[self.split.shards_of(self.places[rows])]
        return rows[np.lexsort((rng.random(len(rows)), group))]

    def record(self) -> dict[str, Any]:
        """What to record about the set in a run."""
        shards = {"shards": len(self.split.shards)}
        return shards | ({"split": self.test_split} if self.test_split else {})
