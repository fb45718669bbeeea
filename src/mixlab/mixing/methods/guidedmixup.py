"""GuidedMixup: at each pixel, a row weighs as much as it is salient there."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from mixlab import checks
from mixlab.mixing.binding import bind
from mixlab.mixing.blend import Blend
from mixlab.mixing.methods.method import picture_size
from mixlab.mixing.partner_mask import PartnerMask
from mixlab.mixing.partners import partner_columns
from mixlab.mixing.saliency import Saliency, SpectralResidual, maps_of, normalized, smoothed

SMALLEST = 32  # pixels of the smallest pictures of the paper
CUTOFF = 1.0  # of the Gaussian, in standard deviations: 7 x 7 pixels of 3, as the authors'


@dataclass(frozen=True)
class GuidedMixup:
    """Mixes (R, C, H, W) images; it draws nothing.

    Paper: Kang & Kim, GuidedMixup: An Efficient Mixup Strategy Guided by Saliency Maps, 2023,
        https://arxiv.org/abs/2306.16612: Guided-SR by default, Guided-AP with
        saliency=InputGradient().
    Draws: nothing; s, s' are the smoothed saliency maps of a row and its partner, w = s / (s + s')
        at each pixel, and x~ = w * x + (1 - w) * x'. With partners=by_method the rows are one
        cycle: it begins with the two whose maps differ most, and goes on, each time, to the row
        left whose map differs most from that of the row before.
    Label: the row's weight is the mean of w.
    Avoid: where all objects are in the middle, since every pair then overlaps; in small batches,
        which leave little choice of partners; and at probability 1 in a short training, as each row
        keeps about half of itself.
    Differs: the gradient of Guided-AP is taken in eval mode. The residual of Guided-SR is squared,
        smoothed a little and of pictures of 64 pixels, where the authors' code has 128, no square,
        and the Gaussian of the maps twice. Where neither row is salient their code divides by zero;
        here both weigh the same.

    Attributes:
        smoothing: >= 0, standard deviation in pixels of the Gaussian that smooths the maps, cut off
            at one of them; the authors' 3. In proportion for pictures of less than 32 pixels.
        saliency: of rows and partners.
    """

    smoothing: float = 3.0
    saliency: Saliency = field(default_factory=SpectralResidual)

    num_partners = 1
    pairs_rows = True
    label_differs = None
    mean_mixed = 0.5  # a row and its partner can change places

    def __post_init__(self) -> None:
        checks.check_fields(self, smoothing=checks.number(0), saliency=checks.SALIENCY)

    def bind(self, network: nn.Module) -> "GuidedMixup":
        """A copy whose saliency looks at `network`."""
        return replace(self, saliency=bind(self.saliency, network))

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; without partners, those of the paper.

        Waits for a GPU once, for the means of the masks, and before that for the distances of the
        maps where it pairs the rows.
        """
        picture_size(images, "GuidedMixup")
        maps = self.maps(images, targets)
        if partners is None:
            partners = greedy_cycle(distances(maps))
        partner = partner_columns(partners, images, rng)[:, 0]
        index = torch.from_numpy(partner).to(maps.device, non_blocking=True)
        other = maps.index_select(0, index)
        total = other + maps[: len(partner)]
        return Blend.pair(partner, PartnerMask(torch.where(total > 0, other / total, 0.5)))

    def maps(self, images: Tensor, targets: Tensor) -> Tensor:
        """(R, H, W) smoothed maps, each summing to one."""
        maps = maps_of(self.saliency, images, targets, np.arange(len(images))).float()
        with torch.autocast(maps.device.type, enabled=False):
            sigma = self.smoothing * min(1.0, min(maps.shape[1:]) / SMALLEST)
            return normalized(smoothed(maps, sigma, CUTOFF))


def distances(maps: Tensor) -> np.ndarray:
    """(R, R) Euclidean distances of the maps (R, H, W); waits for a GPU."""
    flat = maps.flatten(1)
    return torch.cdist(flat, flat).cpu().numpy()


def greedy_cycle(distance: np.ndarray) -> np.ndarray:
    """(R,) int64 partners that make all rows one cycle, of their distances (R, R).

    The first two are the farthest apart. Each row after them is, of those left, the farthest from
    the row before it; the last row's partner is the first. The authors' greedy pairing.
    """
    left = distance.copy()
    np.fill_diagonal(left, -np.inf)
    partners = np.empty(len(left), dtype=np.int64)
    first = row = int(left.argmax()) // len(left)
    for _ in range(len(left) - 1):
        left[:, row] = -np.inf
        partners[row] = left[row].argmax()
        row = int(partners[row])
    partners[row] = first
    return partners
