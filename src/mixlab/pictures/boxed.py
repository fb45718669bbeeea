"""CutMix with a given box and given partners: the pictures, and their labels in a table."""

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from mixlab.mixing import Blend
from mixlab.pictures.captions import (
    ACCENT,
    FAINT,
    INK,
    Line,
    class_name,
    describe_label,
    label_line,
    of_classes,
)
from mixlab.pictures.examples import LARGE, Box, Names, pasted
from mixlab.pictures.sheet import (
    Cell,
    cell_width,
    columns_that_fit,
    frame,
    heading,
    sheet,
    stacked,
    text_table,
)
from mixlab.pictures.tiles import tiles

SMALL = 150  # pixels of a tile's longer side where there are more than four
TABLE_HEADER = ("picture", "label before", "partner", "own pixels", "partner's", "label after")
PUBLISHED = "own share as published"


def boxed(
    images: Tensor,
    targets: Tensor,
    partners: Sequence[int],
    box: Box,
    class_names: Names = None,
    published: Sequence[float] | None = None,
    **scale,
) -> Image.Image:
    """Pictures above what CutMix makes of them with one box, and the labels before and after.

    Args:
        images, targets: (B, C, H, W) and (B, num_classes).
        partners: the row that feeds each row's box.
        box: its edges, the same in all pictures.
        published: own shares published for the same mixture, shown next to ours.
        scale: `mean` and `std`, as for `mixed_batch`.
    """
    blend = pasted(partners, box, *images.shape[-2:])
    mixed, labels = blend.mix(images, targets)
    side = LARGE if len(images) <= 4 else SMALL
    shown = [tiles(each, images, side=side, slack=1, **scale) for each in (images, mixed)]
    pairs = [
        captioned(row, partner, shown[0][row], shown[1][row], targets, labels, class_names)
        for row, partner in enumerate(partners)
    ]
    lines = label_table(blend, targets, labels, class_names, published)
    header = TABLE_HEADER if published is None else (*TABLE_HEADER, PUBLISHED)
    written = text_table(header, [[Line([word], color) for word, color in row] for row in lines])
    drawn = two_lines(pairs)
    size_note = f"{images.shape[-2]} x {images.shape[-1]} pixels"
    note = f"rows {box[0]}:{box[1]} and columns {box[2]}:{box[3]} of {size_note}"
    width = max(drawn.width, written.width)
    title = heading("CutMix: each picture with the box of its partner", note, width)
    return stacked(title, drawn, written)


def captioned(
    row: int,
    partner: int,
    before: Image.Image,
    after: Image.Image,
    targets: Tensor,
    labels: Tensor,
    class_names: Names,
) -> tuple[Cell, Cell]:
    """A picture and its mixture, each with its label."""
    own, mixture = (label_line(each[row], class_names) for each in (targets, labels))
    names = f"picture {row}", f"picture {row} with the box of {partner}"
    first, second = (Line([name], FAINT, 11) for name in names)
    return Cell(before, [own, first]), Cell(frame(after), [mixture, second])


def two_lines(pairs: Sequence[tuple[Cell, Cell]]) -> Image.Image:
    """All first cells above all second ones, in as many double lines as it takes."""
    fitting = columns_that_fit(max(cell_width(cell) for pair in pairs for cell in pair))
    chunks = [pairs[start : start + fitting] for start in range(0, len(pairs), fitting)]
    return sheet([[pair[k] for pair in chunk] for chunk in chunks for k in (0, 1)])


def label_table(
    blend: Blend,
    targets: Tensor,
    labels: Tensor,
    class_names: Names = None,
    published: Sequence[float] | None = None,
) -> list[list[tuple[str, str]]]:
    """For each picture the words under `TABLE_HEADER`, each with its color."""
    rows = []
    for row, own in enumerate(blend.own_share.tolist()):
        partner = int(blend.source[row, 1])
        words = [
            str(row),
            describe_label(targets[row], class_names, digits=4),
            f"{partner} {class_name(int(of_classes(targets[partner]).argmax()), class_names)}",
            f"{own:.4f}",
            f"{1 - own:.4f}",
            describe_label(labels[row], class_names, digits=4),
        ]
        rows.append([(word, INK) for word in words])
        if published is not None:
            rows[-1].append(compared(published[row], own))
    return rows


def compared(share: float, own: float) -> tuple[str, str]:
    """A published share, marked where it differs from that of the pixels."""
    difference = abs(share - own)
    if difference < 5e-5:
        return f"{share:.4f}", INK
    return f"{share:.4f}, {difference:.4f} too {'much' if share > own else 'little'}", ACCENT
