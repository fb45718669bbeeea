"""SpectralResidual: what is unusual in a picture's spectrum stands out. Needs no network.

Hou & Zhang, Saliency Detection: A Spectral Residual Approach, CVPR 2007, eqs. 7-9: the log
amplitude less its local mean, transformed back with the old phase, squared and smoothed.

SaliencyMix (https://arxiv.org/abs/2006.01791) takes OpenCV's fine-grained saliency (Montabone &
Soto 2010), which works picture by picture on the CPU; this is the other static saliency of OpenCV,
and runs on a batch, on the device where it is.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mixlab import checks
from mixlab.mixing.saliency.maps import normalized, smoothed

WINDOW = 3  # pixels of the local mean in the spectrum, as in the paper


@dataclass(frozen=True)
class SpectralResidual:
    """Looks at the mean over the channels, and over time.

    Attributes:
        side: pixels of the shorter side at which it looks, larger pictures are shrunk; the paper's
            64. Smaller pictures stay as they are.
        smoothing: standard deviation in pixels of the Gaussian that smooths the map, the paper's
            2.5 of 64; in proportion for smaller pictures.
    """

    side: int = 64
    smoothing: float = 2.5

    def __post_init__(self) -> None:
        checks.check_fields(self, side=checks.whole(1), smoothing=checks.number(0))

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """See `Saliency`; the targets are not looked at."""
        size = tuple(images.shape[-2:])
        gray = images.detach().flatten(1, -3).float().mean(1, keepdim=True)
        scale = min(1.0, self.side / min(size))
        small = [max(1, round(scale * length)) for length in size]
        if small != list(size):
            gray = F.interpolate(gray, small, mode="bilinear", antialias=True)
        with torch.autocast(images.device.type, enabled=False):
            maps = smoothed(_residual(gray)[:, 0], self.smoothing * min(small) / self.side)
        return normalized(F.interpolate(maps[:, None], size, mode="bilinear")[:, 0])


def _residual(gray: Tensor) -> Tensor:
    """(R, 1, H, W) saliency before smoothing."""
    spectrum = torch.fft.fft2(gray)
    amplitude = spectrum.abs()
    least = 1e-6 * amplitude.amax((2, 3), keepdim=True) + torch.finfo(gray.dtype).tiny
    log = amplitude.clamp_min(least).log()
    around = F.pad(log, [WINDOW // 2] * 4, mode="circular")
    residual = log - F.avg_pool2d(around, WINDOW, stride=1)
    back = torch.fft.ifft2(torch.polar(residual.exp(), spectrum.angle()))
    return back.abs().square()
