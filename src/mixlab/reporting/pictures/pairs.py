"""Images before and after something was done to each, such as augmentation."""

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from mixlab.reporting.pictures.captions import FAINT, Line, class_name
from mixlab.reporting.pictures.masks import coloured, legend
from mixlab.reporting.pictures.sheet import GAP, Cell, grid, stacked, strip
from mixlab.reporting.pictures.tiles import tiles


def before_and_after(
    before: Tensor,
    after: Tensor,
    targets: Tensor | None = None,
    class_names: Sequence[str] | None = None,
    *,
    moved: Tensor | None = None,
    count: int = 24,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Image.Image:
    """Each of the first `count` images beside what became of it, framed.

    Args:
        before, after: (B, C, H, W), the latter perhaps of another height and width.
        targets: (B, num_classes), of which the largest is named below; nothing where None.
        moved: where `targets` are masks (B, num_classes, H, W), what became of them; they are
            shown in colours below the images.
        class_names, mean, std: as for `mixed_batch`.

    Raises:
        ValueError: if the two are not equally many images.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} images before and {len(after)} after do not make pairs")
    old = tiles(before[:count], before, mean=mean, std=std)
    new = tiles(after[:count], before, mean=mean, std=std)
    drawn = [side_by_side(*pair) for pair in zip(old, new, strict=True)]
    lines = [words(row, targets, class_names) for row in range(len(drawn))]
    if targets is None or moved is None or targets.ndim < 4:
        return grid([Cell(*pair) for pair in zip(drawn, lines, strict=True)])
    pairs = zip(*(tiles(coloured(each[:count])) for each in (targets, moved)), strict=True)
    below = [side_by_side(*pair) for pair in pairs]
    drawn = [stacked(*pair, gap=GAP) for pair in zip(drawn, below, strict=True)]
    page = grid([Cell(*pair) for pair in zip(drawn, lines, strict=True)])
    return stacked(legend(targets.shape[1], class_names, page.width), page)


def words(row: int, targets: Tensor | None, class_names: Sequence[str] | None) -> list[Line]:
    """The caption of a pair: its class, where there is one for all of it, and its number."""
    number = Line([f"row {row}"], FAINT, 11)
    if targets is None or targets.ndim > 2:
        return [number]
    return [Line([class_name(int(targets[row].argmax()), class_names)]), number]


def side_by_side(one: Image.Image, other: Image.Image) -> Image.Image:
    """Two tiles, the second scaled to the first's height."""
    if one.height != other.height:
        width = max(1, round(other.width * one.height / other.height))
        other = other.resize((width, one.height), Image.Resampling.BOX)
    return strip([one, other])
