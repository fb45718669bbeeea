"""The protocol of data sources, and what a model needs to know about the data."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Datasets(NamedTuple):
    """Map-style data sets of (image, label) pairs; None if a source has none."""

    train: Any
    val: Any = None
    test: Any = None

    def splits(self) -> "Datasets":
        return self


SPLITS = Datasets._fields


class Source(Protocol):
    """Where data come from: the node `source` of a file in `configs/data`."""

    def splits(self) -> Datasets:
        """Read the data. Raises UserError, with the remedy, if they cannot be used."""
        ...


@dataclass(frozen=True)
class ImageSpec:
    """Shape of one image, as (channels, height, width) in pixels, and the names of the classes."""

    channels: int
    height: int
    width: int
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        return len(self.class_names)
