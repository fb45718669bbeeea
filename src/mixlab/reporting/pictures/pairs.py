"""Images before and after something was done to each, such as augmentation."""

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from mixlab.reporting.pictures.captions import FAINT, Line, class_name
from mixlab.reporting.pictures.sheet import Cell, grid, strip
from mixlab.reporting.pictures.tiles import tiles


def before_and_after(
    before: Tensor,
    after: Tensor,
    targets: Tensor | None = None,
    class_names: Sequence[str] | None = None,
    *,
    count: int = 24,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Image.Image:
    """Each of the first `count` images beside what became of it, framed.

    Args:
        before, after: (B, C, H, W), the latter perhaps of another height and width.
        targets: (B, num_classes), of which the largest is named below; nothing where None.
        class_names, mean, std: as for `mixed_batch`.

    Raises:
        ValueError: if the two are not equally many images.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} images before and {len(after)} after do not make pairs")
    old = tiles(before[:count], before, mean=mean, std=std)
    new = tiles(after[:count], before, mean=mean, std=std)
    cells = []
    for row, pair in enumerate(zip(old, new, strict=True)):
        named = targets is not None
        name = class_name(int(targets[row].argmax()), class_names) if named else ""
        lines = [Line([name])] if named else []
        cells.append(Cell(side_by_side(*pair), [*lines, Line([f"row {row}"], FAINT, 11)]))
    return grid(cells)


def side_by_side(one: Image.Image, other: Image.Image) -> Image.Image:
    """Two tiles, the second scaled to the first's height."""
    if one.height != other.height:
        width = max(1, round(other.width * one.height / other.height))
        other = other.resize((width, one.height), Image.Resampling.BOX)
    return strip([one, other])
