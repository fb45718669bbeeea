"""How rows that are no images are drawn: a table as bars, signals as lines, clouds as dots."""

from typing import Protocol

from PIL import Image
from torch import Tensor

from mixlab.pictures.bars import TableBars
from mixlab.pictures.dots import CloudDots
from mixlab.pictures.grid import TokenGrid
from mixlab.pictures.lines import SignalLines
from mixlab.pictures.parts import Parts


class Look(Protocol):
    """How rows of one kind become tiles."""

    @property
    def side(self) -> int:
        """Pixels of a tile's longer side where nothing else is asked for."""
        ...

    @property
    def note(self) -> str:
        """What a tile shows, in words."""
        ...

    def tiles(self, rows: Tensor, like: Tensor, parts: Parts, side: int) -> list[Image.Image]:
        """Rows (N, *S) as tiles; rows `like` (R, *S) set the range of what is drawn."""
        ...


class Described(Protocol):
    """What a look depends on, as `mixlab.data.DataSpec` says it."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def feature_axis(self) -> int: ...

    @property
    def is_cloud(self) -> bool: ...


def look_of(spec: Described) -> Look | None:
    """How rows of tables, signals, clouds and embeddings are drawn; None for other rows."""
    if len(spec.shape) == 1:
        return TableBars(spec.shape[0])
    if len(spec.shape) != 2:
        return None
    if spec.is_cloud and spec.shape[0] > 1:
        return CloudDots(*spec.shape)
    return TokenGrid(*spec.shape) if spec.feature_axis else SignalLines(spec.shape[0])
