"""A gallery: the same rows with the same partners under one method after another."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from mixlab.pictures.captions import ACCENT, FAINT, INK, Line, label_lines
from mixlab.pictures.looks import Look
from mixlab.pictures.parts import Parts, unmixed
from mixlab.pictures.sheet import (
    EMPTY_CELL,
    MARGIN,
    NARROWEST,
    PAGE_WIDTH,
    Cell,
    cell_width,
    columns_that_fit,
    frame,
    sheet,
    size,
    stacked,
    wrap_text,
)
from mixlab.pictures.tiles import FRAME_ROOM, TILE, tiles

LARGEST = 160  # pixels of a tile's longer side


class Mixed(NamedTuple):
    """What a method makes of B rows: (B, ...), their targets (B, num_classes), and their parts."""

    images: Tensor
    targets: Tensor
    parts: Parts | None = None  # for a look


def gallery(
    images: Tensor,
    targets: Tensor,
    partners: Tensor,
    mixed: Mapping[str, Mixed | str],
    class_names: Sequence[str] | None = None,
    *,
    notes: Mapping[str, Sequence[str]] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    look: Look | None = None,
) -> Image.Image:
    """A row for each of the first B images: itself, its partner, then what each method makes of it.

    Args:
        images, targets: (R, C, H, W), or (R, ...) with a look, and (R, num_classes), R >= B.
        partners: (B,) rows among the R.
        mixed: by method, its B images and targets, or a sentence why there are none.
        notes: by method, what its images or targets do not show, for below its name.
        class_names, mean, std, look: as for `mixed_batch`.
    """
    count = len(partners)
    room = (PAGE_WIDTH - MARGIN) // (2 + len(mixed)) - MARGIN  # for one column
    room -= 2 * FRAME_ROOM if look else 0
    side = min(max(room, TILE), LARGEST)
    scale: dict[str, Any] = {"mean": mean, "std": std, "side": side, "slack": 1, "look": look}
    scale |= {"like": images, "class_names": class_names, "own": targets[:count]}
    own = column("original", images[:count], targets[:count], **scale)
    partner_parts = unmixed(images[partners], [1] * count) if look else None
    theirs = column("partner", images[partners], targets[partners], parts=partner_parts, **scale)
    methods = [
        empty_column(name, found, count, size(own[1]))
        if isinstance(found, str)
        else framed_column(name, Mixed(*found), (notes or {}).get(name, ()), **scale)
        for name, found in mixed.items()
    ]
    pages = [
        sheet([list(row) for row in zip(*band, strict=True)])
        for band in bands([own, theirs], methods)
    ]
    return stacked(*pages)


def column(
    name: str,
    images: Tensor,
    targets: Tensor,
    like: Tensor,
    class_names: Sequence[str] | None,
    own: Tensor | None = None,
    notes: Sequence[str] = (),
    framed: bool = False,
    **scale: Any,
) -> list[Cell]:
    """A name and notes above tiles, each with its label below."""
    drawn = tiles(images, like, **scale)
    labels = zip(targets.cpu(), (targets if own is None else own).cpu(), strict=True)
    cells = [
        Cell(frame(tile) if framed else tile, label_lines(target.float(), class_names, mine))
        for tile, (target, mine) in zip(drawn, labels, strict=True)
    ]
    width = max(map(cell_width, cells))
    return [title(name, ACCENT if framed else INK, width, notes), *cells]


def framed_column(name: str, mixed: Mixed, notes: Sequence[str], **scale: Any) -> list[Cell]:
    """A method's name and notes above what it makes of the rows."""
    images, targets, parts = mixed
    return column(name, images, targets, notes=notes, framed=True, parts=parts, **scale)


def title(name: str, color: str, width: int, notes: Sequence[str] = ()) -> Cell:
    """A method's name, broken at its underscores if it is wider than its column, over notes."""
    parts = wrap_text(name.replace("_", "_ "), width, 13)
    lines = [Line([part.replace("_ ", "_")], color, 13) for part in parts]
    small = [line for note in notes for line in wrap_text(note, width, 11)]
    return Cell(None, [*lines, *(Line([line], FAINT, 11) for line in small)])


def empty_column(name: str, reason: str, count: int, tile_size: tuple[int, int]) -> list[Cell]:
    """A name above gray tiles, the first with the reason; its remedy has no room."""
    gray = Image.new("RGB", tile_size, EMPTY_CELL)
    width = max(tile_size[0], NARROWEST)
    lines = [Line([line], FAINT, 11) for line in wrap_text(reason.split("; ")[0], width, 11)[:7]]
    rows = [Cell(gray, lines if row == 0 else ()) for row in range(count)]
    return [title(name, ACCENT, max(map(cell_width, rows))), *rows]


def bands(first: list[list[Cell]], others: list[list[Cell]]) -> list[list[list[Cell]]]:
    """Columns in bands of equal length that fit on a page, each led by the columns `first`."""
    widest = max(cell_width(cell) for column in (*first, *others) for cell in column)
    room = max(1, columns_that_fit(widest) - len(first))
    count = max(1, ceil(len(others) / room))
    length = ceil(len(others) / count)
    return [[*first, *others[k * length : (k + 1) * length]] for k in range(count)]
