"""timm's `Mixup`: `from mixlab.timm import Mixup` in place of `from timm.data import Mixup`.

It needs torch and numpy, not timm. The arguments and the distributions are those of
`timm.data.Mixup` of timm 1.0.31; what differs is in the docstring of the class.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mixlab.checks import BELOW_1, FLAG, FRACTION, check_fields, number, one_of, span, whole
from mixlab.errors import UserError
from mixlab.mixing.blend import Blend
from mixlab.mixing.boxes import Boxes
from mixlab.mixing.counter import CallCounter
from mixlab.mixing.labels import soft_labels
from mixlab.mixing.masks import Mask
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.mixer import warn_of_one_row
from mixlab.mixing.stream import Address, Purpose, stream

MODES = ("batch", "pair", "elem")
ALPHA_OR_OFF = number(0).but("0 turns it off, 1.0 is usual")


class Mixup:
    """mixup and CutMix of a batch with itself in reverse order, and soft labels.

    Where it differs from `timm.data.Mixup`:

    - It draws from the engine of `mixlab.mixing` with a seed of its own. numpy's global generator
      is neither used nor changed.
    - It returns new tensors. timm writes into its input, which the callers of `x, y = fn(x, y)`
      do not need.
    - A batch may be odd; its middle row has no partner and stays as it is.
    - Targets may also be float rows (B, num_classes), which are mixed as they are. Targets have 32
      bits at least.
    - Images must be float, and nothing to mix is an error when the object is made.

    Args:
        mixup_alpha, cutmix_alpha: >= 0, of Beta(alpha, alpha); 0 turns one of them off.
        cutmix_minmax: (low, high) in [0, 1]: sides of CutMix's box, each a uniform fraction of the
            picture's. It turns CutMix on and takes the place of its alpha.
        prob: in [0, 1], of mixing a batch, a pair or a row.
        switch_prob: in [0, 1], of CutMix where both are on.
        mode: draw once for the `batch`, for each `pair` of rows i and B - 1 - i, or for each row
            (`elem`).
        correct_lam: weigh the label by the area of the box that the border leaves, not by what was
            drawn. With `cutmix_minmax` it always is.
        label_smoothing: in [0, 1), of all rows, mixed or not.
        num_classes: C.
        multi_label: targets are dense (B, C), and smoothed toward 0.5.
        seed, rank: see `CallCounter`: by default torch's seed and the rank of torch.distributed.

    Attributes:
        mixup_enabled: set it to False to return what is not mixed, smoothed as before.

    Calls are counted, which is state: call `set_epoch(epoch)` before each epoch, so that a resumed
    training draws what an uninterrupted one would have drawn.

    Raises:
        UserError: an argument is out of its range, or neither mixup nor CutMix is on.
    """

    def __init__(
        self,
        mixup_alpha: float = 1.0,
        cutmix_alpha: float = 0.0,
        cutmix_minmax: Sequence[float] | None = None,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        mode: str = "batch",
        correct_lam: bool = True,
        label_smoothing: float = 0.1,
        num_classes: int = 1000,
        multi_label: bool = False,
        *,
        seed: int | None = None,
        rank: int | None = None,
    ) -> None:
        self.mixup_alpha, self.cutmix_minmax = mixup_alpha, cutmix_minmax
        self.cutmix_alpha = cutmix_alpha if cutmix_minmax is None else 1.0
        self.prob, self.switch_prob, self.mode = prob, switch_prob, mode
        self.correct_lam, self.label_smoothing = correct_lam, label_smoothing
        self.num_classes, self.multi_label = num_classes, multi_label
        self.mixup_enabled = True
        check_fields(
            self, mixup_alpha=ALPHA_OR_OFF, cutmix_alpha=ALPHA_OR_OFF,
            cutmix_minmax=span(0, 1).or_(None), prob=FRACTION, switch_prob=FRACTION,
            mode=one_of(*MODES), correct_lam=FLAG, label_smoothing=BELOW_1,
            num_classes=whole(1), multi_label=FLAG,
        )  # fmt: skip
        if not self.mixup_alpha and not self.cutmix_alpha:
            raise UserError("mixup_alpha and cutmix_alpha are 0, so nothing is mixed; set one")
        self.counter = CallCounter(seed, rank)

    def set_epoch(self, epoch: int) -> None:
        """Say that an epoch begins: the next call is its first batch."""
        self.counter.set_epoch(epoch)

    def __call__(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """New images and soft targets (B, C).

        Args:
            x: (B, ...) float; CutMix needs (B, C, H, W).
            target: class numbers (B,), or float (B, C).
        """
        targets = self.smoothed(target, x.dtype)
        address = self.counter.next_address()
        is_mixed = self.mixup_enabled and len(x) > 0
        blend = self.draw(x, address) if is_mixed else Blend.identity(len(x))
        warn_of_one_row(blend)
        return blend.mix(x, targets)

    def smoothed(self, target: Tensor, dtype: torch.dtype) -> Tensor:
        """Float targets (B, C), smoothed before they are mixed."""
        shape = tuple(target.shape)
        if (target.ndim > 1 or self.multi_label) and shape[1:] != (self.num_classes,):
            wanted = "(B, num_classes)" if self.multi_label else "(B,) or (B, num_classes)"
            raise UserError(
                f"targets must be {wanted} with num_classes={self.num_classes}, got shape {shape}; "
                "set num_classes to the number of classes"
            )
        if self.multi_label:
            return target.float() * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        targets = soft_labels(target, self.num_classes, dtype)
        return targets * (1 - self.label_smoothing) + self.label_smoothing / self.num_classes

    def draw(self, images: Tensor, address: Address) -> Blend:
        """The blend of a batch (B, ...) at its address."""
        rows, rng = self._groups(len(images)), stream(address, Purpose.MIXING)
        own, cut = self._draw_shares(int(rows.max()) + 1, rng)
        flat = np.where(cut, 1, own)  # a box is drawn in place of a share
        mask: Mask = pairs(flat[rows])
        if self.cutmix_alpha:
            height, width = picture_size(images, "CutMix")
            edges = self._boxes(own, cut, np.array([height, width]), rng)
            mask = Boxes(torch.from_numpy(edges[rows]), mask, height, width)
        is_corrected = self.correct_lam or self.cutmix_minmax is not None
        partners = np.arange(len(images))[::-1].copy()
        return Blend.pair(partners, mask, None if is_corrected else pairs(own[rows]))

    def _groups(self, num_rows: int) -> np.ndarray:
        """The draw that each row takes, int64 (B,), or (1,) where all take the same."""
        number = np.arange(num_rows)
        if self.mode == "elem":
            return number
        return np.minimum(number, number[::-1]) if self.mode == "pair" else np.zeros(1, np.int64)

    def _draw_shares(self, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Own shares (draws,), 1 where nothing is mixed, and bool (draws,) where CutMix does it."""
        mixed = rng.random(draws) < self.prob
        cut = rng.random(draws) < (self.switch_prob if self.mixup_alpha else 1.0)
        cut &= self.cutmix_alpha > 0
        kept, pasted = (
            own_shares(alpha or 1.0, rng, draws) for alpha in (self.mixup_alpha, self.cutmix_alpha)
        )
        return np.where(mixed, np.where(cut, pasted, kept), 1.0), cut & mixed

    def _boxes(
        self, own: np.ndarray, cut: np.ndarray, size: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Edges (draws, 4) of CutMix's boxes, empty in the rows that it does not cut."""
        if self.cutmix_minmax is None:
            edges = centered_boxes(own, size, rng)
        else:
            edges = placed_boxes(self.cutmix_minmax, len(own), size, rng)
        return edges * cut[:, None]


def pairs(own: np.ndarray) -> Tensor:
    """Shares float32 (n, 2) of a row and its partner, from own shares (n,)."""
    return torch.from_numpy(np.stack([own, 1 - own], axis=1).astype(np.float32))


def centered_boxes(own: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Edges (n, 4) around uniform pixels, clipped at the border, for own shares (n,).

    Sides are sqrt(1 - own) of `size` (height, width), rounded down. An odd side has its extra pixel
    below and to the right of the pixel; `clipped_boxes`, the rule of CutMix's authors, drops it.
    """
    sides = (size * np.sqrt(1 - own)[:, None]).astype(np.int64)
    center = rng.integers(0, size, (len(own), 2))
    low, high = center - sides // 2, center + (sides + 1) // 2
    return interleaved(np.clip(low, 0, size), np.clip(high, 0, size))


def placed_boxes(
    minmax: Sequence[float], count: int, size: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Edges (count, 4) of boxes inside the picture, each side uniform between two fractions."""
    low, high = ((size * fraction).astype(np.int64) for fraction in minmax)
    sides = rng.integers(low, np.maximum(high, low + 1), (count, 2))  # the largest side is not met
    start = rng.integers(0, size - sides + 1)
    return interleaved(start, start + sides)


def interleaved(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(n, 4) of top, bottom, left and right from (n, 2) of top and left, bottom and right."""
    return np.stack([start, end], axis=2).reshape(-1, 4)
