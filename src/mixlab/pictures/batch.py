"""A mixed batch as a picture: its rows, their mixtures, and the labels trained with."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from mixlab.errors import UserError
from mixlab.pictures.captions import ACCENT, FAINT, Line, class_name, given_and_true, label_wrapped
from mixlab.pictures.parts import inks_of, parts_of, unmixed
from mixlab.pictures.sheet import GAP, Cell, cell_grid, remark, stacked, strip
from mixlab.pictures.shown_rows import rows_note, rows_to_show
from mixlab.pictures.tiles import check_pictures, colored, legend, tiles

if TYPE_CHECKING:
    from mixlab.mixing import Batch, Blend
    from mixlab.pictures.looks import Look

MAX_SOURCES = 4
NOT_VISIBLE = Line(["mixed in the network, not visible here", "mixed in the network"], FAINT, 11)


def mixed_batch(
    before: "Batch",
    after: "Batch",
    blend: "Blend",
    class_names: Sequence[str] | None = None,
    *,
    count: int = 16,
    columns: int | None = None,
    wrong_labels: Mapping[int, tuple[int, int]] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    look: "Look | None" = None,
) -> Image.Image:
    """Draw `count` rows of a batch: each row, its partners, the mixture and its label.

    Args:
        before: the batch before mixing: images (B, C, H, W), or other rows (B, ...), with guests if
            the blend has any.
        after: the mixed batch: images (B, C, H, W) and targets (B, num_classes), which the captions
            show ("0.70 cat + 0.30 dog"); or masks (B, num_classes, H, W), shown in colors below
            the images. With the images of `before` themselves, features were mixed in the network,
            and the captions say so.
        blend: how it was mixed; up to three partners of `source` (B, K) are shown, of the columns
            that are not the row itself in the whole batch. Those of share 0 are shown where all of
            a row's partners have it, and the caption says so.
        class_names: names of the classes; their numbers where None.
        count: rows to show, at most: the first, unless few of them are mixed, see `rows_to_show`.
            A line above the rows says so, or that no row is mixed.
        columns: rows of the batch side by side; as many as fit into 1300 pixels where None.
        wrong_labels: given and true class, by row of the batch, then of the guests; captions say
            both, as in "row 3: 7 (true 1)".
        mean, std: of the normalization, a number per channel. Where None, values in [0, 1] are
            shown as they are, others are stretched from the smallest to the largest of `before`.
        look: of rows that are no images, see `mixlab.pictures.looks.look_of`.

    Raises:
        ValueError: without a look, if the images are not (B, C, H, W).
    """
    if look is None:
        check_pictures(before.images)
    shown = rows_to_show(blend, count)
    columns_shown = [0, *partner_columns_of(blend.source)][:MAX_SOURCES]
    source = blend.source[shown][:, columns_shown]
    share = blend.share.expand(len(blend.source), -1)[shown][:, columns_shown]
    inputs = _rows_with_guests(before, "images", source.flatten())
    rows = torch.cat([inputs, _rows_at(after.images, shown).float()])
    if look is None:
        lines = [tiles(rows, inputs, mean=mean, std=std)]
    else:
        inks = [ink for row in source.tolist() for ink in inks_of(row)]
        pool = _with_guests(before, "images")
        mixtures = parts_of(blend, pool, after.images[: max(shown) + 1])
        parts = [*unmixed(inputs, inks), *(mixtures[row] for row in shown)]
        lines = [tiles(rows, pool, side=look.side, look=look, parts=parts)]
    targets = _rows_at(after.targets, shown).float().cpu()
    if targets.ndim == 4:
        planes = torch.cat([_rows_with_guests(before, "targets", source.flatten()).cpu(), targets])
        lines.append(tiles(colored(planes)))

    cells, is_hidden = [], after.images is before.images  # features are mixed, and labels
    for place, row in enumerate(shown):
        partners = partners_of(row, source[place], share[place])
        strips = [_strip(line, place, source.shape[1], [0, *partners]) for line in lines]
        origin = origin_line(
            row,
            list(dict.fromkeys(partners.values())) if look else list(partners.values()),
            len(before.images),
            class_names,
            wrong_labels or {},
            in_label=any(share[place, k] > 0 for k in partners),
            shares=shares_of(row, blend) if look else None,
        )
        own = before.targets[row].cpu() if before.targets.ndim == targets.ndim else None
        words = [*label_wrapped(targets[place], class_names, own), origin]
        words += [NOT_VISIBLE] if is_hidden and partners else []
        cells.append(Cell(stacked(*strips, gap=GAP), words))
    drawn = cell_grid(cells, columns)
    note = rows_note(blend, count)
    above = [remark(note, drawn.width)] if note else []
    if targets.ndim == 4:
        above.append(legend(targets.shape[1], class_names, drawn.width))
    return stacked(*above, drawn)


def _strip(line: list[Image.Image], place: int, num_sources: int, used: list[int]) -> Image.Image:
    """The sources and the mixture of a row; `line` has all rows' sources, then all mixtures."""
    num_rows = len(line) // (num_sources + 1)
    sources = line[place * num_sources :][:num_sources]
    mixture = line[num_rows * num_sources + place]
    return strip([*(tile if k in used else None for k, tile in enumerate(sources)), mixture])


def partner_columns_of(source: Tensor) -> list[int]:
    """The columns of `source` (B, K) in which any row has a partner; all but the first if none."""
    others = (source != source[:, :1]).any(0).nonzero()[:, 0].tolist()
    return others or list(range(1, source.shape[1]))


def partners_of(row: int, source: Tensor, share: Tensor) -> dict[int, int]:
    """By column, the partners that feed a row, all that were drawn if none does.

    `source` and `share` are (K,).
    """
    drawn = {k: int(source[k]) for k in range(1, len(source)) if source[k] != row}
    return {k: partner for k, partner in drawn.items() if share[k] > 0} or drawn


def shares_of(row: int, blend: "Blend") -> dict[int, float]:
    """What each row that feeds a row has of its label, through whichever columns."""
    source, share = blend.source[row], blend.share[min(row, len(blend.share) - 1)]
    return {number: float(share[source == number].sum()) for number in source.tolist()}


def origin_line(
    row: int,
    partners: list[int],
    num_rows: int,
    class_names: Sequence[str] | None,
    wrong_labels: Mapping[int, tuple[int, int]],
    in_label: bool = True,
    shares: Mapping[int, float] | None = None,
) -> Line:
    """Name a row and its partners by their numbers in the batch, guests by theirs among the guests.

    In another color where one of them has a wrong label: "row 3: 7 (true 1), partner 5".
    `in_label` is whether the partners have a share. `shares` are those of the rows in the label, to
    be said where a picture hardly tells: "0.70 row 3, 0.30 partner 5".
    """
    names = []
    for number in (row, *partners):
        name = str(number) if number < num_rows else f"guest {number - num_rows}"
        if number in wrong_labels:
            name += f": {given_and_true(*wrong_labels[number], class_names)}"
        names.append(name)
    if len(names) == 1:
        origin = f"row {names[0]}, no partner"
    elif shares is not None:
        words = ["row", *["partner"] * len(partners)]
        said = zip((row, *partners), words, names, strict=True)
        origin = ", ".join(f"{shares[number]:.2f} {word} {name}" for number, word, name in said)
    else:
        word = "partner" if len(names) == 2 else "partners"
        origin = f"row {names[0]}, {word} {', '.join(names[1:])}{'' if in_label else ', share 0'}"
    is_wrong = any(number in wrong_labels for number in (row, *partners))
    return Line([origin], ACCENT if is_wrong else FAINT, 11)


def _rows_with_guests(batch: "Batch", name: str, rows: Tensor) -> Tensor:
    """Rows (N,) of a batch's images or targets and, from its length on, of its guests', float32."""
    return _rows_at(_with_guests(batch, name), rows).float()


def _rows_at(values: Tensor, numbers: Tensor | list[int]) -> Tensor:
    """Some rows of a tensor, on its device."""
    return values.index_select(0, torch.as_tensor(numbers, device=values.device))


def _with_guests(batch: "Batch", name: str) -> Tensor:
    """A batch's images or targets, then its guests'."""
    own = getattr(batch, name)
    return own if batch.guests is None else torch.cat([own, getattr(batch.guests, name)])


def before_and_after(
    before: Tensor,
    after: Tensor,
    targets: Tensor | None = None,
    class_names: Sequence[str] | None = None,
    *,
    moved: Tensor | None = None,
    count: int = 24,
    wrong_labels: Mapping[int, tuple[int, int]] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Image.Image:
    """Each of the first `count` images next to its changed version, framed.

    Args:
        before, after: (B, C, H, W); `after` may have another height and width.
        targets: (B, num_classes), of which the largest is named below, or None.
        moved: if `targets` are masks (B, num_classes, H, W), the changed masks; both are shown in
            colors below the images.
        class_names, wrong_labels, mean, std: as for `mixed_batch`.

    Raises:
        ValueError: if the two differ in their number of images.
    """
    if len(before) != len(after):
        raise UserError(f"{len(before)} images before and {len(after)} after do not make pairs")
    old = tiles(before[:count], before, mean=mean, std=std)
    new = tiles(after[:count], before, mean=mean, std=std)
    drawn = [side_by_side(*pair) for pair in zip(old, new, strict=True)]
    lines = [words(row, targets, class_names, wrong_labels or {}) for row in range(len(drawn))]
    if targets is None or moved is None or targets.ndim < 4:
        return cell_grid([Cell(*pair) for pair in zip(drawn, lines, strict=True)])
    pairs = zip(*(tiles(colored(each[:count])) for each in (targets, moved)), strict=True)
    below = [side_by_side(*pair) for pair in pairs]
    drawn = [stacked(*pair, gap=GAP) for pair in zip(drawn, below, strict=True)]
    page = cell_grid([Cell(*pair) for pair in zip(drawn, lines, strict=True)])
    return stacked(legend(targets.shape[1], class_names, page.width), page)


def words(
    row: int,
    targets: Tensor | None,
    class_names: Sequence[str] | None,
    wrong_labels: Mapping[int, tuple[int, int]],
) -> list[Line]:
    """The caption of a pair: its class, where there is one for all of it, and its number."""
    number = Line([f"row {row}"], FAINT, 11)
    if targets is None or targets.ndim > 2:
        return [number]
    if row in wrong_labels:
        return [Line([given_and_true(*wrong_labels[row], class_names)], ACCENT), number]
    if (targets[row] > 0).sum() == 1:
        return [Line([class_name(int(targets[row].argmax()), class_names)]), number]
    return [*label_wrapped(targets[row], class_names), number]


def side_by_side(one: Image.Image, other: Image.Image) -> Image.Image:
    """Two tiles, the second scaled to the first's height."""
    if one.height != other.height:
        width = max(1, round(other.width * one.height / other.height))
        other = other.resize((width, one.height), Image.Resampling.BOX)
    return strip([one, other])
