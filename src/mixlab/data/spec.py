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
class DataSpec:
    """Shape of one row, and the names of the classes.

    Attributes:
        shape: without the batch: (F,) of a table, (C, L) of signals, (D,) or (T, D) of embeddings.
        feature_axis: of `shape`, where channels or features lie: 0, or -1 for embeddings (T, D).
        is_cloud: whether the last axis lists points, in no order.
    """

    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    feature_axis: int = 0
    is_cloud: bool = False

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def channels(self) -> int:
        """Channels or features of a row."""
        return self.shape[self.feature_axis]

    @property
    def words(self) -> str:
        """As in `rows of 13` or `rows of 3 x 128`."""
        return f"rows of {' x '.join(map(str, self.shape))}"


class ImageSpec(DataSpec):
    """Shape of one image, as (channels, height, width) in pixels, and the names of the classes."""

    def __init__(
        self, channels: int, height: int, width: int, class_names: tuple[str, ...]
    ) -> None:
        super().__init__((channels, height, width), class_names)

    @property
    def height(self) -> int:
        return self.shape[1]

    @property
    def width(self) -> int:
        return self.shape[2]

    @property
    def words(self) -> str:
        """As in `images 1 x 16 x 16`."""
        return f"images {' x '.join(map(str, self.shape))}"
