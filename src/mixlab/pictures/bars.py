"""Rows of a table as bars: where a mixture is of several rows, each adds its share to the bar."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mixlab.pictures.parts import WHOSE_COLOR, Parts, added, inks, on_paper, scaled

MOST_BARS = 64
STUB = 2  # pixels, so that the smallest value has a bar, too


@dataclass(frozen=True)
class TableBars:
    """A bar for each of the first features (F,).

    Heights go from a feature's smallest value to its largest: what the sources of a mixture add is
    then never below zero and sums to the height of the mixture.
    """

    features: int

    side = 192

    @property
    def note(self) -> str:
        more = f", the first {MOST_BARS} of {self.features}" if self.features > MOST_BARS else ""
        return (
            f"a bar for each feature{more}, from its smallest value to its largest: {WHOSE_COLOR}"
        )

    def tiles(self, rows: Tensor, like: Tensor, parts: Parts, side: int) -> list[Image.Image]:
        """See `Look`."""
        first = slice(MOST_BARS)
        ends = like[:, first].amin(0), like[:, first].amax(0)
        return [
            bars(scaled(row[first], *ends), added(made, first, ends), inks(made), side)
            for row, made in zip(rows, parts, strict=True)
        ]


def bars(total: Tensor, added: Tensor, inks: Sequence[int], side: int) -> Image.Image:
    """Bars of heights (F,) in [0, 1], colored from the bottom by what each part adds, (K, F)."""
    pitch, height = max(2, side // len(total)), side // 2
    gap = 1 if pitch > 3 else 0
    page = np.full((height, pitch * len(total), 3), 255, np.uint8)
    colors = on_paper(torch.eye(len(inks)), inks).numpy()
    tops = torch.cat([added.cumsum(0)[:-1], total[None]]).clamp_max(total)
    levels = ((height - STUB) * (1 - tops)).round().int().tolist()
    for color, level in reversed(list(zip(colors, levels, strict=True))):
        for feature, top in enumerate(level):
            page[top:, feature * pitch : (feature + 1) * pitch - gap] = color
    return Image.fromarray(page)
