"""Whether a blend keeps the promise of every method: its label tells what is in the image."""

import torch

from mixlab.errors import UserError
from mixlab.mixing.blend import Blend
from mixlab.mixing.boxes import Boxes
from mixlab.mixing.masks import mean_share, painted
from mixlab.mixing.methods.method import Method
from mixlab.mixing.tiles import Tiles

CLOSE = 1e-3  # rounding of half precision


def check_promise(method: Method, blend: Blend) -> None:
    """Raise UserError if masks or shares of `method` do not add up.

    At every pixel the masks are in [0, 1] and sum to one, or less where content is erased. Unless
    the method says in `label_differs` how its label differs, the shares of a row are in [0, 1] and
    sum to one, and each is the mean of its mask, of whatever view; where content is erased, no
    share is less than that. Boxes and tiles are not painted for it.
    """
    check_finite(method, blend)
    name, share, mask = type(method).__name__, blend.share, blend.mask
    if not isinstance(mask, Boxes | Tiles):  # which sum to one by construction
        mask = painted(mask)
        total = mask.float().sum(1)
        if mask.min() < -CLOSE or total.max() > 1 + CLOSE:
            raise UserError(
                f"{name} has masks from {mask.min():.3g} that sum to {total.max():.3g} at a pixel; "
                "over the sources they must be from 0 to 1 and sum to 1"
            )
    if method.label_differs:
        return
    if share.min() < -CLOSE or (share.sum(1) - 1).abs().max() > CLOSE:
        row = int((share.sum(1) - 1).abs().argmax())
        raise UserError(
            f"{name} gives row {row} the shares {numbers(share[row])}; they must be from 0 to 1 "
            "and sum to 1, or labels get another weight than one"
        )
    mean, share = torch.broadcast_tensors(mean_share(mask), share)  # either may have one row
    unsaid = (mean - share).amax(1)  # both sum to one: if no share is too small, none is too large
    if unsaid.max() > CLOSE:
        row = int(unsaid.argmax())
        raise UserError(
            f"{name} labels row {row} with shares {numbers(share[row])}, but its masks average to "
            f"{numbers(mean[row])}; leave share out, or say in label_differs why it differs"
        )


def check_finite(method: Method, blend: Blend) -> None:
    """Raise UserError if a mask of `method` is nan or inf, which no comparison would notice."""
    whole = isinstance(blend.mask, Boxes | Tiles)
    if not whole and not painted(blend.mask).isfinite().all():
        raise UserError(
            f"{type(method).__name__} has masks that are not finite, nan or inf at a pixel; guard "
            "divisions and logarithms against zero"
        )


def check_sums(low: float, high: float, *, may_erase: bool) -> None:
    """Raise UserError unless the masks' sums at all pixels, from `low` to `high`, are 1."""
    if high <= 1 + CLOSE and (low >= 1 - CLOSE or may_erase):
        return
    divide = "divide them by their sum over the sources"
    if low < CLOSE and not may_erase:  # or the division gives nan
        whole = "set the mask of source 0 to 1 where all of them are 0"
        divide = f"{whole}, then {divide}"
    erased = "" if high > 1 + CLOSE else ", or say in label_differs that content is erased"
    raise UserError(f"masks sum to {from_to(low, high)} at a pixel; {divide}{erased}")


def from_to(low: float, high: float) -> str:
    """`1`, or `0.5 to 1`."""
    ends = dict.fromkeys((f"{low:.3g}", f"{high:.3g}"))
    return " to ".join(ends)


def numbers(values: torch.Tensor) -> str:
    return ", ".join(f"{value:.3g}" for value in values.tolist())
