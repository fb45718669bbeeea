"""A mixed batch as a picture: what went in, what came out, and the label it trains with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from mixlab.reporting.pictures.captions import FAINT, Line, label_line
from mixlab.reporting.pictures.sheet import Cell, grid, strip
from mixlab.reporting.pictures.tiles import check_pictures, tiles

if TYPE_CHECKING:
    from mixlab.mixing import Batch, Blend

MAX_SOURCES = 4


def mixed_batch(
    before: "Batch",
    after: "Batch",
    blend: "Blend",
    class_names: Sequence[str] | None = None,
    *,
    count: int = 16,
    columns: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Image.Image:
    """Draw the first `count` rows of a batch: each row, its partners, the mixture and its label.

    Args:
        before: the batch that was mixed: images (B, C, H, W), with guests where the blend has any.
        after: the batch that came out: images (B, C, H, W), targets (B, num_classes) or masks
            (B, num_classes, H, W), which are
            what the captions show ("0.70 cat + 0.30 dog").
        blend: what was drawn; `source` (B, K) names the partners, of which up to three are shown.
        class_names: names of the classes; their numbers where None.
        count: rows to show, fewer where the batch is smaller.
        columns: rows of the batch beside each other; as many as fit into 1300 pixels where None.
        mean, std: of the normalisation, a number per channel. Where None, values in [0, 1] are
            shown as they are and others are stretched from the smallest to the largest of `before`.

    Raises:
        ValueError: if the images are not (B, C, H, W).
    """
    check_pictures(before.images)
    count = min(count, len(after.images))
    source = blend.source[:count, :MAX_SOURCES]
    share = blend.share.expand(len(blend.source), -1)[:count, :MAX_SOURCES]
    inputs = _rows(before, source.flatten())
    shown = tiles(torch.cat([inputs, after.images[:count].float()]), inputs, mean=mean, std=std)
    targets = after.targets[:count].float().cpu()
    if targets.ndim > 2:  # of the pixels' classes, the shares in the picture
        targets = targets.flatten(2).mean(2)

    cells = []
    for row in range(count):
        theirs = shown[row * source.shape[1] : (row + 1) * source.shape[1]]
        partners = partners_of(row, source[row], share[row])
        own = [tile if k == 0 or k in partners else None for k, tile in enumerate(theirs)]
        origin = _describe_origin(row, list(partners.values()), len(before.images))
        lines = [label_line(targets[row], class_names), Line([origin], FAINT, 11)]
        cells.append(Cell(strip([*own, shown[len(inputs) + row]]), lines))
    return grid(cells, columns)


def partners_of(row: int, source: Tensor, share: Tensor) -> dict[int, int]:
    """By column, the rows other than itself that feed a row; `source` and `share` are (K,)."""
    return {k: int(source[k]) for k in range(1, len(source)) if share[k] > 0 and source[k] != row}


def _describe_origin(row: int, partners: list[int], num_rows: int) -> str:
    """Name a row's partners by their numbers in the batch, guests by theirs among the guests."""
    if not partners:
        return f"row {row}, no partner"
    names = [str(p) if p < num_rows else f"guest {p - num_rows}" for p in partners]
    return f"row {row}, partner{'s' * (len(partners) > 1)} {', '.join(names)}"


def _rows(batch: "Batch", rows: Tensor) -> Tensor:
    """Take rows (N,) of a batch and, from its length on, of its guests, as float32."""
    rows = rows.to(batch.images.device)
    if batch.guests is None:
        return batch.images.index_select(0, rows).float()
    size = len(batch.images)
    own = batch.images[rows.clamp(max=size - 1)]
    guest = batch.guests.images[(rows - size).clamp(min=0)]
    return torch.where((rows < size)[:, None, None, None], own, guest).float()
