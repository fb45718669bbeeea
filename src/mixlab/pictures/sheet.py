"""Layout: tiles above captions in rows and columns, tables and headings below each other."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from PIL import Image, ImageDraw

from mixlab.pictures.captions import ACCENT, FAINT, INK, Line, cut, text_width, write

PAPER, EMPTY_CELL, RULE = "#ffffff", "#eef0f2", "#d5d9de"
# In pixels: between tiles, around cells, from one text line to the next.
GAP, MARGIN, LINE_HEIGHT = 4, 14, 15
PAGE_WIDTH, NARROWEST = 1300, 90  # in pixels: of a page, and of a column, which holds words too


class Cell(NamedTuple):
    """A tile, or a strip of several, over lines of text; an empty square for None."""

    image: Image.Image | None
    lines: Sequence[Line] = ()


def sheet(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """Cells in rows and columns; a column is as wide as its widest tile."""
    columns = zip_longest(*rows, fillvalue=Cell(None))
    widths = [max(cell_width(cell) for cell in column) for column in columns]
    heights = [
        max(size(cell)[1] for cell in row) + LINE_HEIGHT * max(len(cell.lines) for cell in row) + 6
        for row in rows
    ]
    whole = (sum(widths) + MARGIN * (len(widths) + 1), sum(heights) + MARGIN * (len(heights) + 1))
    page = Image.new("RGB", whole, PAPER)
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        left = MARGIN
        for cell, width in zip(row, widths, strict=False):
            draw_cell(page, cell, left, top, width, max(size(cell)[1] for cell in row))
            left += width + MARGIN
        top += height + MARGIN
    return page


def cell_grid(cells: Sequence[Cell], columns: int | None = None) -> Image.Image:
    """Cells in reading order, in as many columns as fit where `columns` is None."""
    fitting = columns_that_fit(max(map(cell_width, cells)))
    count = max(1, min(columns or fitting, len(cells)))
    return sheet([cells[start : start + count] for start in range(0, len(cells), count)])


def columns_that_fit(width: int) -> int:
    """How many cells of a width fit side by side on a page."""
    return max(1, (PAGE_WIDTH - MARGIN) // (width + MARGIN))


def cell_width(cell: Cell) -> int:
    """Pixels that a cell takes: those of its tile, or what a few words need."""
    return max(size(cell)[0], NARROWEST)


def size(cell: Cell) -> tuple[int, int]:
    return (0, 0) if cell.image is None else cell.image.size


def draw_cell(
    page: Image.Image, cell: Cell, left: int, top: int, width: int, tile_height: int
) -> None:
    """Place the tile and write the lines below it, none of them wider than `width`."""
    if cell.image is not None:
        page.paste(cell.image, (left, top))
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(cell.lines):
        place = (left, top + tile_height + 4 + number * LINE_HEIGHT)
        write(pen, place, line.fitted(width), line.color, line.size)


def strip(images: Sequence[Image.Image | None], framed: bool = True) -> Image.Image:
    """Tiles side by side, gray squares for None; the last one set apart, with a frame if wanted."""
    width, height = next(image.size for image in images if image is not None)
    lefts = [k * (width + GAP) for k in range(len(images))]
    lefts[-1] += 2 * GAP
    whole = Image.new("RGB", (lefts[-1] + width, height), PAPER)
    for image, left in zip(images, lefts, strict=True):
        if image is None:
            ImageDraw.Draw(whole).rectangle((left, 0, left + width - 1, height - 1), EMPTY_CELL)
        else:
            whole.paste(image, (left, 0))
    return frame(whole, lefts[-1]) if framed else whole


def frame(image: Image.Image, left: int = 0) -> Image.Image:
    """Draw a frame on an image from column `left` to its right edge."""
    edge = (left, 0, image.width - 1, image.height - 1)
    ImageDraw.Draw(image).rectangle(edge, outline=ACCENT, width=2)
    return image


def heading(title: str, note: str = "", width: int = PAGE_WIDTH) -> Image.Image:
    """A title and a fainter note below it; long notes are broken into lines."""
    lines = wrap_text(note, width - 2 * MARGIN, 12)
    page = Image.new("RGB", (width, MARGIN + 22 + len(lines) * (LINE_HEIGHT + 1)), PAPER)
    pen = ImageDraw.Draw(page)
    title = cut(title, width - 2 * MARGIN, 18)
    write(pen, (MARGIN, MARGIN - 4), title, INK, 18)
    for number, line in enumerate(lines):
        write(pen, (MARGIN, MARGIN + 22 + number * (LINE_HEIGHT + 1)), line, FAINT, 12)
    return page


def remark(text: str, width: int) -> Image.Image:
    """A fainter text in lines of at most `width` pixels, to stand above a picture."""
    lines = wrap_text(text, width - 2 * MARGIN, 12)
    page = Image.new("RGB", (width, MARGIN + len(lines) * LINE_HEIGHT), PAPER)
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        write(pen, (MARGIN, MARGIN + number * LINE_HEIGHT), line, FAINT, 12)
    return page


def wrap_text(text: str, width: int, size: int) -> list[str]:
    """A text in lines of at most `width` pixels."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(cut(word, width, size))
    return lines


def text_table(header: Sequence[str], rows: Sequence[Sequence[Line]]) -> Image.Image:
    """A table of text; if it is wider than the page, its widest columns are cut."""
    lines = [[Line([name], FAINT, 11) for name in header], *rows]
    widths = column_widths(lines)
    height = 22
    whole = (sum(widths) + MARGIN * (len(widths) + 1), height * len(lines) + MARGIN)
    page = Image.new("RGB", whole, PAPER)
    pen = ImageDraw.Draw(page)
    for number, row in enumerate(lines):
        left = MARGIN
        for line, width in zip(row, widths, strict=True):
            place = (left, number * height + 4)
            write(pen, place, line.fitted(width), line.color, line.size)
            left += width + MARGIN
        below = (number + 1) * height - 1
        pen.line((MARGIN, below, page.width - MARGIN, below), fill=RULE)
    return page


def column_widths(lines: Sequence[Sequence[Line]]) -> list[int]:
    """What each column needs, the widest cut down until all fit on a page."""
    widths = [
        max(int(text_width(line.texts[0], line.size)) + 1 for line in column)
        for column in zip(*lines, strict=True)
    ]
    room = PAGE_WIDTH - MARGIN * (len(widths) + 1)
    while sum(widths) > room:
        widest = widths.index(max(widths))
        widths[widest] -= min(sum(widths) - room, max(1, widths[widest] // 8))
    return widths


def stacked(*images: Image.Image, gap: int = 0) -> Image.Image:
    """Images one below the other, `gap` pixels apart, as wide as the widest."""
    width = max(image.width for image in images)
    height = sum(image.height for image in images) + gap * (len(images) - 1)
    page = Image.new("RGB", (width, height), PAPER)
    top = 0
    for image in images:
        page.paste(image, (0, top))
        top += image.height + gap
    return page
