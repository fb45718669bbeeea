"""Point clouds as dots, and lines between the points that are mixed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, radians, sin

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from mixlab.pictures.captions import LEAST
from mixlab.pictures.lines import FINER
from mixlab.pictures.parts import WHOSE_COLOR, Parts, SourcePart, inks, on_paper
from mixlab.pictures.sheet import PAPER, RULE

TURN, TILT = radians(30), radians(20)  # of the view: about the third axis, and from above
MOST_PATHS = 64  # points that have a line; more hide the points
DOT = 1 / 60  # radius, of a tile's side
EDGE = 0.03  # of a tile's side, left free around the points

Places = Callable[[Tensor], list[list[float]]]  # x and y on the page of each point of a cloud


@dataclass(frozen=True)
class CloudDots:
    """The points of a cloud (2 or more coordinates, P), seen from the side and a little above."""

    coordinates: int
    points: int

    side = 124  # three rows of a batch fit side by side

    @property
    def note(self) -> str:
        first = f" by the first 3 of {self.coordinates} coordinates" if self.coordinates > 3 else ""
        view = f"points seen from the side{first}" if self.coordinates > 2 else "points"
        few = f", for the first {MOST_PATHS}" if self.points > MOST_PATHS else ""
        return f"{view}: {WHOSE_COLOR}, with a line between two that are mixed{few}"

    def tiles(self, rows: Tensor, like: Tensor, parts: Parts, side: int) -> list[Image.Image]:
        """See `Look`."""
        places, found = places_on(side * FINER, like), []
        for row, made in zip(rows, parts, strict=True):
            page = Image.new("RGB", (side * FINER, side * FINER), PAPER)
            for part in made[1:]:
                draw_paths(page, places(made[0].seen), places(part.seen), part.weight[0])
            draw_dots(page, places(row), made)
            found.append(page.reduce(FINER))
        return found


def places_on(room: int, like: Tensor) -> Places:
    """Where points are on a page of `room` pixels that has room for all of the clouds `like`."""
    flat = seen_from_the_side(like)
    low, high = flat.amin((0, 2)), flat.amax((0, 2))
    middle, span = (low + high)[:, None] / 2, float((high - low).max().clamp_min(1e-12))
    scale = torch.tensor([[1.0], [-1.0]]) * (1 - 2 * EDGE) / span  # the second axis leads upward

    def places(cloud: Tensor) -> list[list[float]]:
        around = (seen_from_the_side(cloud[None])[0] - middle) * scale
        return ((around + 0.5).nan_to_num() * room).T.tolist()

    return places


def seen_from_the_side(clouds: Tensor) -> Tensor:
    """(N, 2, P): to the right and upward, of clouds (N, 2 or more coordinates, P)."""
    if clouds.shape[1] == 2:
        return clouds
    x, y, z = clouds[:, 0], clouds[:, 1], clouds[:, 2]
    away = x * sin(TURN) + y * cos(TURN)
    return torch.stack([x * cos(TURN) - y * sin(TURN), z * cos(TILT) + away * sin(TILT)], 1)


def draw_paths(
    page: Image.Image, own: list[list[float]], partner: list[list[float]], weight: Tensor
) -> None:
    """Lines from the points of a row to those of a partner of weight (P,), where both count."""
    pen = ImageDraw.Draw(page)
    is_mixed = (weight > LEAST) & (weight < 1 - LEAST)
    for point in is_mixed.nonzero()[:MOST_PATHS, 0].tolist():
        pen.line([*own[point], *partner[point]], RULE, width=FINER)


def draw_dots(page: Image.Image, places: list[list[float]], parts: Sequence[SourcePart]) -> None:
    """Dots in the mixed colors of the sources of each point."""
    pen, radius = ImageDraw.Draw(page), DOT * page.width
    colors = on_paper(torch.stack([part.weight[0] for part in parts]), inks(parts))
    for (x, y), color in zip(places, colors.tolist(), strict=True):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), tuple(color))
