"""A mixed batch as a picture: what went in, what came out, and the label it trains with."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

if TYPE_CHECKING:
    from mixlab.mixing import Batch, Blend

PAPER, INK, FAINT, ACCENT, EMPTY = "#ffffff", "#1c1e21", "#6f7680", "#c2410c", "#eef0f2"
GAP, MARGIN, LINE = 4, 14, 15  # pixels: between tiles, around cells, from one text line to the next
TILE, MAX_SOURCES, PAGE_WIDTH = 96, 4, 1300  # pixels aimed at: a tile's side, a page's width


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
        after: the batch that came out: images (B, C, H, W), targets (B, num_classes), which are
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
    if before.images.ndim != 4:
        shape = tuple(before.images.shape)
        raise ValueError(f"a picture needs images of shape (B, C, H, W), got {shape}")
    count = min(count, len(after.images))
    source = blend.source[:count, :MAX_SOURCES]
    share = blend.share.expand(len(blend.source), -1)[:count, :MAX_SOURCES]
    number_shown = source.shape[1]
    inputs = _rows(before, source.flatten())
    pixels = _to_bytes(torch.cat([inputs, after.images[:count].float()]), len(inputs), mean, std)
    tiles = [_tile(image) for image in pixels]
    targets = after.targets[:count].float().cpu()

    canvas = _Canvas(count, number_shown + 1, tiles[0].size, columns)
    for row in range(count):
        sources = tiles[row * number_shown : (row + 1) * number_shown]
        partners = {
            k: int(source[row, k])
            for k in range(1, number_shown)
            if share[row, k] > 0 and source[row, k] != row
        }
        shown = [tile if k == 0 or k in partners else None for k, tile in enumerate(sources)]
        labels = [describe_label(targets[row], class_names, longest=n) for n in (40, 16, 10, 5)]
        origin = _describe_origin(row, list(partners.values()), len(before.images))
        canvas.draw(row, [*shown, tiles[len(inputs) + row]], labels, origin)
    return canvas.image


def describe_label(
    target: Tensor,
    class_names: Sequence[str] | None = None,
    *,
    most: int = 3,
    longest: int = 40,
) -> str:
    """Say a soft label (num_classes,) in words, largest share first: "0.70 cat + 0.30 dog".

    At most `most` classes are named, each by at most `longest` letters.
    """
    shares, classes = target.sort(descending=True, stable=True)
    kept = [(s, c) for s, c in zip(shares.tolist(), classes.tolist(), strict=True) if s >= 0.005]
    names = [" ".join(str(class_names[c] if class_names else c).split()) for _, c in kept[:most]]
    names = [f"'{name}'" if name[:1].isdigit() else name for name in names]
    names = [name if len(name) <= longest else f"{name[: longest - 1]}." for name in names]
    words = [f"{share:.2f} {name}" for (share, _), name in zip(kept, names, strict=False)]
    return " + ".join(words + ["..."] * (len(kept) > most)) or "no label"


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


def _to_bytes(
    images: Tensor, num_inputs: int, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Tensor:
    """Bring images (N, C, H, W) to uint8 (N, H, W, 3); the first `num_inputs` set the range."""
    images = images.cpu()
    if mean is not None and std is not None:
        images = images * torch.tensor(std).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)
    else:
        low, high = (float(x) for x in images[:num_inputs].aminmax())
        if low < 0 or high > 1:
            images = (images - low) / max(high - low, 1e-12)
    if images.shape[1] not in (1, 3):
        images = images.mean(dim=1, keepdim=True)
    images = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    return (images.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8)


def _tile(pixels: Tensor) -> Image.Image:
    """Bring an image (H, W, 3) to about `TILE` pixels: small ones by whole pixels, unblurred."""
    height, width, _ = pixels.shape
    image = Image.fromarray(pixels.contiguous().numpy())
    if max(height, width) > 1.5 * TILE:
        factor = TILE / max(height, width)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        return image.resize(size, Image.Resampling.BOX)
    factor = max(1, round(TILE / max(height, width)))
    return image.resize((width * factor, height * factor), Image.Resampling.NEAREST)


@lru_cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


class _Canvas:
    """A grid of cells; a cell is a line of tiles, the last one framed, over two lines of text."""

    def __init__(
        self, cells: int, tiles: int, tile_size: tuple[int, int], columns: int | None
    ) -> None:
        self.tile_width, self.tile_height = tile_size
        self.cell_width = tiles * (self.tile_width + GAP) + GAP  # the mixture stands a little apart
        self.cell_height = self.tile_height + 2 * LINE + 6
        fitting = (PAGE_WIDTH - MARGIN) // (self.cell_width + MARGIN)
        self.columns = max(1, min(columns or fitting, cells))
        rows = -(-cells // self.columns)
        width = MARGIN + self.columns * (self.cell_width + MARGIN)
        height = MARGIN + rows * (self.cell_height + MARGIN)
        self.image = Image.new("RGB", (width, height), PAPER)
        self.pen = ImageDraw.Draw(self.image)

    def draw(
        self, cell: int, tiles: list[Image.Image | None], labels: list[str], origin: str
    ) -> None:
        """Fill a cell with tiles (grey squares for None), the first label that fits, `origin`."""
        down, across = divmod(cell, self.columns)
        left = MARGIN + across * (self.cell_width + MARGIN)
        top = MARGIN + down * (self.cell_height + MARGIN)
        for k, tile in enumerate(tiles[:-1]):
            self._place(tile, left + k * (self.tile_width + GAP), top)
        mixed = left + self.cell_width - self.tile_width
        self._place(tiles[-1], mixed, top)
        frame = (mixed - 2, top - 2, mixed + self.tile_width + 1, top + self.tile_height + 1)
        self.pen.rectangle(frame, outline=ACCENT, width=2)
        fitting = (text for text in labels if _font(12).getlength(text) <= self.cell_width)
        text_top = top + self.tile_height + 4
        self.pen.text((left, text_top), next(fitting, labels[-1]), fill=INK, font=_font(12))
        self.pen.text((left, text_top + LINE), origin, fill=FAINT, font=_font(11))

    def _place(self, tile: Image.Image | None, left: int, top: int) -> None:
        if tile is None:
            corner = (left + self.tile_width - 1, top + self.tile_height - 1)
            self.pen.rectangle((left, top, *corner), EMPTY)
        else:
            self.image.paste(tile, (left, top))
