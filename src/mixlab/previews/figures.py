"""The six pictures of `mixlab-preview`: what `show=` names."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from mixlab.config.build import build, plain
from mixlab.errors import UserError
from mixlab.mixing import Address, Blend, Purpose, stream
from mixlab.pictures import mixed_batch
from mixlab.pictures.batch import before_and_after
from mixlab.pictures.boxed import PUBLISHED, TABLE_HEADER, boxed, label_table
from mixlab.pictures.examples import blends, methods_side_by_side, pasted
from mixlab.pictures.gallery import Mixed, gallery
from mixlab.pictures.parts import parts_of
from mixlab.pictures.sheet import heading, stacked
from mixlab.pictures.shown_rows import rows_note
from mixlab.previews.batches import (
    Rows,
    check_each_takes,
    first_two,
    mixed,
    rows_from,
    shipped_callbacks,
)
from mixlab.previews.notes import by_note, notes_of, why_left_out, with_notes
from mixlab.previews.replay import unaugmented
from mixlab.previews.untrained import with_untrained
from mixlab.reporting.labels import knob_labels, settings_of

Shown = tuple[Image.Image, str]  # a picture and its description
AREA = 0.4  # of a picture, for the default box
GALLERY_ROWS = 4


def show_batch(cfg: DictConfig) -> Shown:
    """A batch before and after mixing: of a configuration, of picture files, or as a run had it."""
    rows = rows_from(cfg)
    seen = rows.replayed.seen if rows.replayed else [mixed(cfg, rows.batch)]
    count = cfg.count or 16
    wrong = rows.wrong_labels
    pictures = [
        mixed_batch(*each, rows.class_names, count=count, wrong_labels=wrong, **rows.scale)
        for each in seen
    ]
    own = plain(rows.replayed.cfg if rows.replayed else cfg)
    title = knob_labels({"": settings_of(own)})[""]
    replayed = rows.replayed
    notes = replayed.left_out if replayed else notes_of(build(cfg.mixing, allow=cfg.allow))
    chosen = [note for each in seen if (note := rows_note(each.blend, count))]
    said = with_notes(f"{rows.what}, before and after mixing", [*notes, *chosen])
    return titled(title, with_notes(rows.what, [*look_notes(rows), *notes]), *pictures), said


def look_notes(rows: Rows) -> list[str]:
    """How rows that are no images are drawn."""
    return [rows.look.note] if rows.look else []


def titled(title: str, subtitle: str, *pictures: Image.Image) -> Image.Image:
    """Pictures below each other, under a title and what is said of them."""
    top = heading(title, subtitle, max(picture.width for picture in pictures))
    return stacked(top, *pictures)


def show_gallery(cfg: DictConfig) -> Shown:
    """A few images under every method, with the same partners."""
    rows = rows_from(cfg)
    images, targets = rows.batch
    found = shipped_callbacks(cfg)
    most = max(callback.method.num_partners for callback in found.values())
    partners = given_partners(cfg, len(images))[: cfg.count or GALLERY_ROWS]
    partners = np.repeat(partners[:, None], most, axis=1)
    results = {
        name: method_outcome(callback.method, cfg, rows, partners)
        for name, callback in found.items()
    }
    refused = {name: result for name, result in results.items() if isinstance(result, str)}
    notes = {name: notes_of(found[name]) for name in results if name not in refused}
    said = by_note(notes)
    results = {name: result for name, result in results.items() if name not in refused}
    left_out = by_note({name: [why_left_out(reason)] for name, reason in refused.items()})
    first = torch.from_numpy(partners[:, 0])
    picture = gallery(images, targets, first, results, rows.class_names, notes=notes, **rows.scale)
    title = "The same rows and partners under each method"
    subtitle = with_notes(rows.what, [*look_notes(rows), *said, *left_out])
    count = f"{len(results)} methods"
    if refused:
        count += f" ({len(refused)} {'does' if len(refused) == 1 else 'do'} not fit such rows)"
    what = with_notes(f"{rows.what}, under {count}", said)
    return titled(title, subtitle, picture), what


def method_outcome(method: Any, cfg: DictConfig, rows: Rows, partners: np.ndarray) -> Mixed | str:
    """The images and targets that a method makes, or the reason why it cannot."""
    images, targets = rows.batch
    try:
        method = with_untrained(method, cfg, images, range(targets.shape[1]))
        check_each_takes(method, rows.batch)
        blend = method(images, targets, stream(rows.address, Purpose.MIXING), partners)
        made, labels = blend.mix(images, targets)
    except ValueError as error:
        return str(error)
    return Mixed(made, labels, parts_of(blend, images, made) if rows.look else None)


def given_partners(cfg: DictConfig, count: int) -> np.ndarray:
    """int64 (count,) partners from `cfg.partners`; by default the row half the batch away.

    With an even number of rows that makes pairs: the partner of a row's partner is the row.

    Raises:
        ValueError: not one partner for each row, or no such row.
    """
    if cfg.partners is None:
        return (np.arange(count) + max(1, count // 2)) % count
    found = list(cfg.partners)
    whole = all(type(row) is int and 0 <= row < count for row in found)
    if len(found) != count or not whole:
        raise UserError(
            f"partners={found} must name a partner for each of the {count} pictures, by its "
            f"number from 0 to {count - 1}"
        )
    return np.array(found, dtype=np.int64)


def images_from(cfg: DictConfig) -> Rows:
    """As `rows_from`; raises UserError for rows that are no images."""
    rows = rows_from(cfg)
    if rows.look:
        assert rows.data is not None
        raise UserError(
            f"show={cfg.show} is for images, and {rows.data.name} has {rows.data.spec.words}; use "
            "show=batch, gallery or blend"
        )
    return rows


def show_augmentation(cfg: DictConfig) -> Shown:
    """A training batch before and after augmentation; nothing is mixed."""
    if cfg.images is not None:
        raise UserError("show=augmentation takes a batch of data=... or run=..., not images=...")
    rows = images_from(cfg)
    own = rows.replayed.cfg if rows.replayed else cfg
    if not own.get("augmentation") or not own.augmentation.get("_target_"):
        raise UserError(
            "augmentation=none leaves images as they are; name one, as in augmentation=flip_crop"
        )
    assert rows.data is not None
    processes = rows.replayed.processes if rows.replayed else 1
    before = unaugmented(rows.data, rows.address, processes)
    picture = before_and_after(
        before.images,
        rows.batch.images,
        before.targets,
        rows.class_names,
        moved=rows.batch.targets,
        count=cfg.count or 24,
        wrong_labels=rows.wrong_labels,
        **rows.scale,
    )
    return picture, f"{rows.what}, before and after augmentation"


def show_blend(cfg: DictConfig) -> Shown:
    """One picture blended with another at nine shares."""
    rows = rows_from(cfg)
    images, targets = first_two(cfg, rows)
    said = f"two of {rows.what}, blended"
    if rows.look is None:
        return blends(images, targets, rows.class_names, **rows.scale), said
    picture = blends(images, targets, rows.class_names, like=rows.batch.images, **rows.scale)
    subtitle = with_notes(f"two of {rows.what}", look_notes(rows))
    return titled("One row mixed with another at nine shares", subtitle, picture), said


def show_cutmix(cfg: DictConfig) -> Shown:
    """CutMix with a given box and partners; the labels are in a table, which is printed too."""
    rows = images_from(cfg)
    images, targets = (part[: cfg.count or (None if cfg.images else 4)] for part in rows.batch)
    if len(images) < 2:
        raise UserError("show=cutmix takes two pictures or more, got 1; give images=[a.jpg,b.jpg]")
    partners = given_partners(cfg, len(images)).tolist()
    box = box_for(cfg, images, rows.address)
    published = published_shares(cfg, len(images))
    picture = boxed(images, targets, partners, box, rows.class_names, published, **rows.scale)
    blend = pasted(partners, box, *images.shape[-2:])
    return picture, f"{rows.what}, box={box}\n" + printed(blend, targets, rows, published)


def printed(blend: Blend, targets: Tensor, rows: Rows, published: list[float] | None) -> str:
    """The table of labels as text."""
    lines = label_table(blend, targets, blend.targets(targets), rows.class_names, published)
    header = TABLE_HEADER if published is None else (*TABLE_HEADER, PUBLISHED)
    words = [header, *[[word for word, _ in line] for line in lines]]
    widths = [max(map(len, column)) for column in zip(*words, strict=True)]
    padded = [[w.ljust(n) for w, n in zip(line, widths, strict=True)] for line in words]
    return "\n".join("  ".join(line).rstrip() for line in padded)


def published_shares(cfg: DictConfig, count: int) -> list[float] | None:
    """Own shares as published, one for each picture.

    Raises:
        ValueError: not one for each picture, or not in [0, 1].
    """
    if cfg.published is None:
        return None
    found = list(cfg.published)
    numbers = all(type(share) in (int, float) and 0 <= share <= 1 for share in found)
    if len(found) != count or not numbers:
        raise UserError(
            f"published={found} must give one number in [0, 1] for each of the {count} pictures: "
            "the share that it keeps of itself"
        )
    return [float(share) for share in found]


def box_for(cfg: DictConfig, images: Tensor, address: Address) -> list[int]:
    """Top, bottom, left, right as given; else a box of `AREA` at a random place.

    Raises:
        ValueError: not a box, or not inside the pictures.
    """
    height, width = images.shape[-2:]
    if cfg.box is None:
        rng = stream(address, Purpose.PREVIEW)
        down, across = (max(1, round(AREA**0.5 * side)) for side in (height, width))
        top = int(rng.integers(height - down, endpoint=True))
        left = int(rng.integers(width - across, endpoint=True))
        return [top, top + down, left, left + across]
    box = list(cfg.box)
    if len(box) == 4 and all(type(edge) is int for edge in box):
        if 0 <= box[0] < box[1] <= height and 0 <= box[2] < box[3] <= width:
            return box
    raise UserError(
        f"box={box} must be top,bottom,left,right in pixels, with top < bottom and left < right, "
        f"within the pictures' {height} rows and {width} columns"
    )


def show_side_by_side(cfg: DictConfig) -> Shown:
    """One picture as it is, under mixup, cutout and CutMix."""
    rows = images_from(cfg)
    images, targets = first_two(cfg, rows)
    box = box_for(cfg, images, rows.address)
    picture = methods_side_by_side(images, targets, box, rows.class_names, **rows.scale)
    return picture, f"the first of {rows.what} as it is, under mixup, cutout and CutMix"


SHOWS: dict[str, Callable[[DictConfig], Shown]] = {
    "batch": show_batch,
    "gallery": show_gallery,
    "augmentation": show_augmentation,
    "blend": show_blend,
    "cutmix": show_cutmix,
    "side_by_side": show_side_by_side,
}
