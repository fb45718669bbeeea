"""Signals as lines, shaded where a mixture has the span of a partner."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from mixlab.pictures.parts import WHOSE_COLOR, Parts, inks, on_paper, scaled
from mixlab.pictures.sheet import PAPER, RULE

FINER = 3  # drawn at so many times the size, then made smaller: edges are smooth
MOST_LANES = 6
TALL, LEAST_LANE = 104, 28  # pixels of a whole tile of the usual width, and of a channel in it
SHADE = 0.3  # of a partner's color, behind what is from it


@dataclass(frozen=True)
class SignalLines:
    """Each of the first channels (C, L) as a line in a lane of its own."""

    channels: int

    side = 192

    @property
    def note(self) -> str:
        many = self.channels > MOST_LANES
        more = f", the first {MOST_LANES} of {self.channels}" if many else ""
        return f"a line for each channel{more}: {WHOSE_COLOR}, whose part of a mixture is shaded"

    def tiles(self, rows: Tensor, like: Tensor, parts: Parts, side: int) -> list[Image.Image]:
        """See `Look`."""
        first = slice(MOST_LANES)
        low, high = like[:, first].amin((0, 2))[:, None], like[:, first].amax((0, 2))[:, None]
        found = []
        for row, made in zip(rows, parts, strict=True):
            weights = torch.stack([part.weight[first] for part in made], 1)  # (C, K, L)
            found.append(lanes(scaled(row[first], low, high), weights, inks(made), side))
        return found


def lanes(values: Tensor, weights: Tensor, inks: Sequence[int], side: int) -> Image.Image:
    """Lines of values (C, L) in [0, 1], one below the other, of parts with weights (C, K, L)."""
    lane = max(LEAST_LANE, TALL // len(values)) * side // SignalLines.side * FINER
    page = Image.new("RGB", (side * FINER, lane * len(values)), PAPER)
    for number, (line, weight) in enumerate(zip(values, weights, strict=True)):
        if len(inks) > 1:
            draw_ground(page, number * lane, lane, weight, inks)
        draw_line(page, number * lane, lane, line, on_paper(weight, inks))
    return page.reduce(FINER)


def draw_ground(
    page: Image.Image, top: int, height: int, weight: Tensor, inks: Sequence[int]
) -> None:
    """Shade a lane as far as the weights (K, L) are those of partners."""
    is_partner = torch.tensor([[float(ink > 0)] for ink in inks])
    colors = on_paper(SHADE * weight * is_partner, inks)
    pen, step = ImageDraw.Draw(page), page.width / len(colors)
    for start, end in stretches(colors):
        edges = (start * step, top, end * step - 1, top + height - 1)
        pen.rectangle(edges, tuple(colors[start].tolist()))


def draw_line(page: Image.Image, top: int, height: int, values: Tensor, colors: Tensor) -> None:
    """Draw values (L,) in [0, 1] in the colors (L, 3), over a rule that ends the lane."""
    pen, bottom = ImageDraw.Draw(page), top + height - 1
    pen.line((0, bottom, page.width, bottom), RULE)
    x = ((torch.arange(len(values)) + 0.5) * page.width / len(values)).tolist()
    y = (top + height * (0.92 - 0.84 * values)).tolist()  # with room for the width of the line
    for start, end in stretches(colors):
        points = list(zip(x[start : end + 1], y[start : end + 1], strict=True))
        pen.line(points, tuple(colors[start].tolist()), width=FINER + 1)


def stretches(colors: Tensor) -> list[tuple[int, int]]:
    """Start and end of the spans of one color, of colors (L, 3)."""
    changes = (colors[1:] != colors[:-1]).any(1).nonzero()[:, 0] + 1
    return list(pairwise([0, *changes.tolist(), len(colors)]))
