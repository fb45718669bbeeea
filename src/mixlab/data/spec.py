"""What a data source brings, and what a model has to know of it."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Datasets(NamedTuple):
    """Map-style data sets of (image, label) pairs; None where a source has none."""

    train: Any
    val: Any = None
    test: Any = None

    def splits(self) -> "Datasets":
        return self


SPLITS = Datasets._fields


class Source(Protocol):
    """Where data come from: the node `source` of a file in `configs/data`."""

    def splits(self) -> Datasets:
        """Read what is to be read. Raises UserError with the remedy for what cannot be used."""
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
