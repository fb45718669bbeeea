"""FMix: the partner shows through a random blob, cut out of low-frequency noise."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab import checks
from mixlab.mixing.blend import Blend
from mixlab.mixing.masks import pair_of_shares, sent_to
from mixlab.mixing.methods.method import own_shares, picture_size
from mixlab.mixing.partner_mask import PartnerMask
from mixlab.mixing.partners import partner_columns

NEGLIGIBLE = 1e-6  # of the variance of noise: 9 in 50,176 pixels of a mask at 224 change sides


@dataclass(frozen=True)
class FMix:
    """Mixes (R, C, H, W) images of any aspect ratio. The mask is computed on the CPU.

    Paper: Harris et al., FMix: Enhancing Mixed Sample Data Augmentation, 2020,
        https://arxiv.org/abs/2002.12047.
    Draws: lam ~ Beta(alpha, alpha); complex normal noise, divided by its frequency to the power
        decay, is transformed back to a gray picture, without the high frequencies that have a
        millionth of the variance; the partner's are its round((1 - lam) * pixels) highest pixels.
    Label: the partner's weight is 1 - lam, rounded to pixels.
    Avoid: where the processor is busy: masks are computed there, and large pictures take several
        times as long as with CutMix.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the own share is drawn; the partner gets the
            rest, rounded to whole pixels.
        decay: > 0, the power by which amplitudes fall with frequency; 3 in the paper.
        max_soft: in [0, 1], width of a soft edge on either side of the cut, as a share of the
            pixels; at most the smaller of both shares. 0, as in the paper, cuts sharply.
        per_row: draw a mask for each row, or one for the batch as in the authors' code.
    """

    alpha: float
    decay: float = 3.0
    max_soft: float = 0.0
    per_row: bool = True

    num_partners = 1
    label_differs = None

    def __post_init__(self) -> None:
        alpha = checks.POSITIVE.but("1.0 is the paper's; probability=0 mixes nothing")
        decay = checks.POSITIVE.but("3 is the paper's")
        checks.check_fields(
            self, alpha=alpha, decay=decay, max_soft=checks.FRACTION, per_row=checks.FLAG
        )

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError for images without height and width."""
        height, width = picture_size(images, "FMix")
        partner = partner_columns(partners, images, rng)[:, 0]
        own = own_shares(self.alpha, rng, len(partner) if self.per_row else 1)
        noise = fourier_noise(len(own), height, width, self.decay, rng)
        counts = np.rint((1 - own) * height * width).astype(np.int64)
        for each, count in zip(noise, counts, strict=True):
            each[:] = highest(each, count, self.max_soft)
        mask = sent_to(torch.from_numpy(noise), images.device)
        share = pair_of_shares(counts / (height * width))
        return Blend.pair(partner, PartnerMask(mask), share)


def fourier_noise(
    num_masks: int, height: int, width: int, decay: float, rng: np.random.Generator
) -> np.ndarray:
    """(num_masks, height, width) float32 noise, amplitudes falling as frequency ** -decay."""
    rows, columns = np.fft.fftfreq(height), np.fft.rfftfreq(width)  # cycles per pixel
    lowest = 1 / max(height, width)
    drawn = matters(abs(rows), lowest, decay)
    columns = columns[matters(columns, lowest, decay)]
    frequency = np.hypot(rows[drawn, None], columns).clip(lowest)
    amplitude = (frequency**-decay).astype(np.float32)
    normals = rng.standard_normal((num_masks, *amplitude.shape, 2), dtype=np.float32)
    normals *= amplitude[:, :, None]
    spectrum = np.zeros((num_masks, height, len(columns)), dtype=np.complex64)
    spectrum[:, drawn] = normals.view(np.complex64)[..., 0]
    lines = torch.fft.ifft(torch.from_numpy(spectrum), dim=1)
    return torch.fft.irfft(lines, width, dim=2).numpy()  # in half of the time that numpy takes


def matters(frequency: np.ndarray, lowest: float, decay: float) -> np.ndarray:
    """(N,) bool: whether the frequencies from here on have more than `NEGLIGIBLE` of the variance.

    Beyond f times the lowest there is at most f ** (2 - 2 * decay) of it.
    """
    return (frequency / lowest).clip(1) ** (2 - 2 * decay) >= NEGLIGIBLE


def highest(noise: np.ndarray, count: int, max_soft: float) -> np.ndarray:
    """A mask like `noise` (H, W): 1 at its `count` highest pixels, else 0; or soft around them."""
    values, cut = noise.ravel(), noise.size - count
    soft = min(int(max_soft * noise.size), count, cut)
    if not soft:
        return above(values, cut).reshape(noise.shape)
    seen, surely = above(values, cut - soft), above(values, cut + soft)
    edge = np.flatnonzero(seen & ~surely)
    mask = surely.astype(np.float32)
    mask[edge[values[edge].argsort()]] = np.linspace(0, 1, 2 * soft)
    return mask.reshape(noise.shape)


def above(values: np.ndarray, cut: int) -> np.ndarray:
    """(N,) bool: not the `cut` lowest of `values` (N,); of equal ones, some of each."""
    if cut == len(values):
        return np.zeros(len(values), dtype=bool)
    lowest = np.partition(values, cut)[cut]  # that is seen: faster than to find which they are
    seen = values >= lowest
    excess = np.count_nonzero(seen) - (len(values) - cut)
    if excess:
        seen[np.flatnonzero(values == lowest)[:excess]] = False
    return seen
