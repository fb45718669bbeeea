"""Which training rows become the validation set. It never depends on the seed of a run."""

import numpy as np

from mixlab.checks import VAL_SPLIT
from mixlab.errors import UserError
from mixlab.mixing import Address, Purpose, stream


def num_held_out(num_rows: int, size: float, key: str = "data.val_size") -> int:
    """`size` as a number of rows: a fraction in (0, 1), or a whole number of rows; 0 is none.

    Raises:
        ValueError: if that leaves no row to train on, or `size` is neither.
    """
    number = isinstance(size, int | float) and not isinstance(size, bool)
    if number and 0 < size < 1 < num_rows:
        return min(max(1, round(size * num_rows)), num_rows - 1)
    if not number or not 0 <= size < num_rows or size % 1:
        raise UserError(
            f"{key} must be 0, a fraction in (0, 1) or a number of rows below {num_rows}, "
            f"got {size!r}"
        )
    return int(size)


def hold_out(
    targets: np.ndarray | None,
    num_rows: int,
    size: float,
    *,
    rule: str = "stratified",
    key: str = "data.val_size",
) -> tuple[np.ndarray, np.ndarray]:
    """Deal rows out to training and held-out part.

    Args:
        targets: int (N,) labels; None splits without regard to the class.
        num_rows: N.
        size: of the held-out part, as `num_held_out` takes it.
        rule: `stratified` takes each class's share of it, at random but the same in every run;
            `first` and `last` take the rows at that end.
        key: what `size` is called in the configuration, for the error.

    Returns:
        Two sorted int64 arrays of row numbers, which together hold every row once.
    """
    VAL_SPLIT.check("data.val_split", rule)
    count = num_held_out(num_rows, size, key)
    rows = np.arange(num_rows)
    if rule == "stratified":
        groups = np.zeros(num_rows, np.int64) if targets is None else targets
        held_out = stratified(groups, count)
    else:
        held_out = rows[:count] if rule == "first" else rows[num_rows - count :]
    return np.setdiff1d(rows, held_out, assume_unique=True), held_out


def stratified(targets: np.ndarray, count: int) -> np.ndarray:
    """Sorted `count` rows in which every class has its share, to within one row."""
    rng = stream(Address(0, 0, 0, 0), Purpose.SPLIT)
    classes, sizes = np.unique(targets, return_counts=True)
    taken = apportion(sizes, count)
    chosen = [
        rng.permutation(np.flatnonzero(targets == label))[:number]
        for label, number in zip(classes, taken, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def apportion(sizes: np.ndarray, count: int) -> np.ndarray:
    """Divide `count` in proportion to `sizes`, in whole numbers (largest remainders)."""
    exact = sizes * count / sizes.sum()
    shares = np.floor(exact).astype(np.int64)
    most_wronged = np.argsort(shares - exact, kind="stable")[: count - shares.sum()]
    shares[most_wronged] += 1
    return shares
