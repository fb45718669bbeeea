"""Which training rows become the validation set; never depends on the seed of a run."""

import numpy as np

from mixlab.checks import VAL_SPLIT
from mixlab.errors import UserError
from mixlab.mixing import Address, Purpose, stream


def num_held_out(num_rows: int, size: float, key: str = "data.val_size") -> int:
    """`size` as a number of rows; it is a fraction in (0, 1) or a whole number of rows.

    Raises:
        ValueError: `size` is neither, or leaves no row to train on.
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
    """Split rows into a training and a held-out part.

    Args:
        targets: int (N,) labels; None ignores the class.
        num_rows: N.
        size: of the held-out part, as `num_held_out` takes it.
        rule: `stratified` takes the same share of each class, at random but equal in every run;
            `first` and `last` take the rows at that end.
        key: name of `size` in the configuration, for the error.

    Returns:
        Two sorted int64 arrays of row numbers, which together contain every row once.
    """
    VAL_SPLIT.check("data.val_split", rule)
    count = num_held_out(num_rows, size, key)
    rows = np.arange(num_rows)
    if rule == "first":
        held_out = rows[:count]
    elif rule == "last":
        held_out = rows[num_rows - count :]
    else:
        held_out = stratified(np.zeros(num_rows, np.int64) if targets is None else targets, count)
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
    largest_remainders = np.argsort(shares - exact, kind="stable")[: count - shares.sum()]
    shares[largest_remainders] += 1
    return shares
