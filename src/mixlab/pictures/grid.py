"""Embeddings of several tokens as a grid of squares."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from mixlab.pictures.parts import WHOSE_COLOR, Parts, added, inks, on_paper, scaled

MOST_TOKENS, MOST_FEATURES = 16, 32


@dataclass(frozen=True)
class TokenGrid:
    """A line of squares for each of the first tokens (T, D), in the color of where it is from."""

    tokens: int
    features: int

    side = 124  # three rows of a batch fit side by side

    @property
    def note(self) -> str:
        tokens, features = min(self.tokens, MOST_TOKENS), min(self.features, MOST_FEATURES)
        whole = (tokens, features) == (self.tokens, self.features)
        more = "" if whole else f", {tokens} x {features} of {self.tokens} x {self.features}"
        return f"a line for each token{more}, darker where a feature is larger: {WHOSE_COLOR}"

    def tiles(self, rows: Tensor, like: Tensor, parts: Parts, side: int) -> list[Image.Image]:
        """See `Look`."""
        first = (..., slice(MOST_TOKENS), slice(MOST_FEATURES))
        ends = like[first].amin((0, 1)), like[first].amax((0, 1))
        pages = [
            shades(scaled(row[first], *ends), added(made, first, ends), inks(made))
            for row, made in zip(rows, parts, strict=True)
        ]
        size = grid_size(rows[first].shape[1:], side)
        return [
            Image.fromarray(page.numpy()).resize(size, Image.Resampling.NEAREST) for page in pages
        ]


def shades(total: Tensor, added: Tensor, inks: Sequence[int]) -> Tensor:
    """(T, D, 3) uint8 of a row (T, D) in [0, 1], colored by what each part adds, (K, T, D)."""
    share = added / added.sum(0).clamp_min(1e-12)
    return on_paper(total * share, inks)


def grid_size(shape: Sequence[int], side: int) -> tuple[int, int]:
    """Width and height in pixels of a grid of T x D squares, which are longer where there are few.

    A line or column of squares takes a quarter of `side` at least.
    """
    square = max(1, side // max(shape))
    height, width = (n * max(square, side // 4 // n) for n in shape)
    return width, height
