"""Which rows of a batch its picture shows, and what the picture says of that."""

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from mixlab.mixing import Blend

NONE_MIXED = "no row of this batch is mixed"
CHOSEN = "the rows shown are chosen to include mixed rows"


def rows_to_show(blend: "Blend", count: int) -> list[int]:
    """Numbers of at most `count` rows, in the order of the batch.

    The first rows, unless fewer than half of them are mixed and later ones are. Then half are the
    first mixed rows, or all where there are fewer, and the others are unmixed rows that come soon
    after one of them, so that the top of the picture has both.
    """
    is_mixed = rows_with_others(blend).tolist()
    count = min(count, len(is_mixed))
    mixed = [row for row, flag in enumerate(is_mixed) if flag][: (count + 1) // 2]
    if sum(is_mixed[:count]) >= len(mixed):
        return list(range(count))
    unmixed = [row for row, flag in enumerate(is_mixed) if not flag]
    unmixed.sort(key=lambda row: min((row - k for k in mixed if k < row), default=len(is_mixed)))
    return sorted([*mixed, *unmixed[: count - len(mixed)]])


def rows_note(blend: "Blend", count: int) -> str:
    """What a reader has to know of `rows_to_show`; empty where these are the first rows.

    It is of the batch, not of the picture, of which a report shows the top alone.
    """
    is_mixed, shown = rows_with_others(blend), rows_to_show(blend, count)
    if not is_mixed.any():
        return "" if blend.is_painted else NONE_MIXED  # a painted mask may erase in every row
    if shown == list(range(len(shown))):
        return ""
    number = int(is_mixed.sum())
    are = "is" if number == 1 else "are"
    return f"{number} of {len(is_mixed)} rows {are} mixed; {CHOSEN}"


def rows_with_others(blend: "Blend") -> Tensor:
    """(B,) bool on the CPU: `Blend.mixed_rows`, or where labels show none, rows with a partner.

    With `mixing.mix=inputs` only a painted mask has the shares, and reading it waits for a GPU.
    """
    mixed = blend.mixed_rows
    if blend.is_painted and not mixed.any():
        return (blend.source != blend.source[:, :1]).any(1)
    return mixed
