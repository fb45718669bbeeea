"""A strip of mixed pictures for an arm: the first row of what one of its runs drew."""

import base64
import io
import re
from collections.abc import Sequence
from itertools import islice

import numpy as np
from PIL import Image

from mixlab.reporting.comparison import Arm, Block

MOST_STRIPS = 12  # strips on a page
SHORTEST, WHITE = 64, 12  # pixels: of a row of pictures, and of the white between two rows


def block_strips(blocks: Sequence[Block]) -> list[list[tuple[str, str]]]:
    """For each block the labels and pictures of its arms, the first `MOST_STRIPS` of the page."""
    found, room = list[list[tuple[str, str]]](), MOST_STRIPS
    for block in blocks:
        drawn = ((arm.label, strip) for arm in block.arms if (strip := arm_strip(arm)))
        found.append(list(islice(drawn, room)))
        room -= len(found[-1])
    return found


def arm_strip(arm: Arm) -> str | None:
    """A JPEG as a data URI, from the first run that drew pictures; None if none did.

    The picture is of the second epoch where there is one: schedules begin and end elsewhere.
    """
    for run in filter(lambda run: run.is_plain, arm.runs):
        numbered = {
            int(found[1]): path
            for path in sorted(run.folder.glob("figures/mixed*-epoch-*.png"), reverse=True)
            if (found := re.search(r"-epoch-(\d+)\.png$", path.name))
        }
        path = numbered.get(1, numbered.get(min(numbered, default=0)))
        if path is not None:
            try:
                with Image.open(path) as picture:
                    return _data_uri(first_row(picture.convert("RGB")))
            except (OSError, ValueError, Image.DecompressionBombError):
                continue  # a broken picture must not cost the report
    return None


def first_row(picture: Image.Image) -> Image.Image:
    """The picture down to the first white stretch below a row of pictures."""
    is_inked = np.array(picture.convert("L"), dtype=int).min(axis=1) < 250
    for top in range(SHORTEST, len(is_inked) - WHITE):
        if not is_inked[top : top + WHITE].any():
            return picture.crop((0, 0, picture.width, top + WHITE // 2))
    return picture


def _data_uri(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=88, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
