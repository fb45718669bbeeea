"""A picture of a batch in which few rows are mixed shows some of them, and says so."""

import numpy as np
import pytest
import torch

from mixlab.mixing import Blend, Cutout
from mixlab.pictures.shown_rows import (
    CHOSEN,
    NONE_MIXED,
    rows_note,
    rows_to_show,
    rows_with_others,
)


def blend_of(mixed: list[int], rows: int = 64) -> Blend:
    """Each row with the next one, of which some have half of it and the others nothing."""
    whole = Blend.pair((np.arange(rows) + 1) % rows, torch.tensor([[0.5, 0.5]]))
    return whole.where(np.isin(np.arange(rows), mixed))


@pytest.mark.parametrize(
    ("mixed", "count", "shown"),
    [
        ([*range(64)], 4, [0, 1, 2, 3]),
        ([0, 3, 50, 51], 4, [0, 1, 2, 3]),
        ([*range(4, 64)], 4, [0, 1, 4, 5]),
        ([7, 20, 40], 4, [7, 8, 20, 21]),
        ([7, 20, 21, 40], 5, [7, 8, 20, 21, 22]),
        ([7], 4, [7, 8, 9, 10]),
        ([62], 4, [0, 1, 62, 63]),
        ([7, 20], 1, [7]),
        ([], 4, [0, 1, 2, 3]),
        ([63], 99, [*range(64)]),
    ],
)
def test_half_of_the_rows_shown_are_mixed(mixed: list[int], count: int, shown: list[int]) -> None:
    assert rows_to_show(blend_of(mixed), count) == shown


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("count", [1, 2, 5, 16, 63, 64])
def test_whatever_is_mixed(seed: int, count: int) -> None:
    """The mixed rows shown are the first, and the first rows are shown where they suffice."""
    rng = np.random.default_rng(seed)
    mixed = np.flatnonzero(rng.random(64) < rng.random() ** 2).tolist()
    shown = rows_to_show(blend_of(mixed), count)
    assert shown == sorted(set(shown)) and len(shown) == count and 0 <= shown[0] <= shown[-1] < 64
    seen = [row for row in mixed if row in shown]
    assert seen == mixed[: len(seen)] and len(seen) >= min(len(mixed), (count + 1) // 2)
    is_chosen = shown != [*range(count)]
    assert is_chosen == (sum(row < count for row in mixed) < len(seen))
    assert is_chosen == rows_note(blend_of(mixed), count).endswith(CHOSEN)


def test_a_note_says_how_many_rows_are_mixed() -> None:
    assert rows_note(blend_of([*range(30, 42)]), 16) == f"12 of 64 rows are mixed; {CHOSEN}"
    assert rows_note(blend_of([30]), 16) == f"1 of 64 rows is mixed; {CHOSEN}"
    assert rows_note(blend_of([*range(30, 42)]), 64) == ""
    assert rows_note(blend_of([*range(64)]), 16) == ""
    assert rows_note(blend_of([*range(63)]), 16) == "", "a row may be its own partner"
    assert rows_note(blend_of([]), 16) == rows_note(Blend.identity(64), 99) == NONE_MIXED


def test_a_mask_on_a_gpu_is_not_read() -> None:
    """Where the labels are whole, a row with a partner counts as mixed."""
    source = torch.tensor([[0, 1], [1, 1], [2, 3], [3, 0]])
    mask = torch.ones(4, 2, 8, 8, device="meta")
    soft, whole = torch.tensor([[0.5, 0.5], [0.5, 0.5], [1, 0], [1, 0]]), torch.eye(1, 2)
    assert rows_with_others(Blend(source, mask, soft)).tolist() == [True, False, False, False]
    assert rows_with_others(Blend(source, mask, whole)).tolist() == [True, False, True, True]
    erased = Blend(source[:, :1], mask[:, :1], torch.ones(1, 1))
    assert rows_note(erased, 2) == "", "the mask alone knows what is erased"


def test_an_erased_box_is_mixed() -> None:
    images, targets = torch.rand(8, 3, 16, 16), torch.eye(8)
    blend = Cutout(0.5)(images, targets, np.random.default_rng(0))
    assert rows_note(blend, 2) == ""
    late = blend.where(np.arange(8) == 6)
    assert rows_to_show(late, 2) == [6, 7]
