"""Saliency: how much each pixel matters, as maps (R, H, W) that sum to one."""

from mixlab.mixing.saliency.activation_map import ActivationMap
from mixlab.mixing.saliency.input_gradient import InputGradient
from mixlab.mixing.saliency.maps import Saliency, maps_of, normalized, smoothed
from mixlab.mixing.saliency.spectral_residual import SpectralResidual

__all__ = [
    "ActivationMap",
    "InputGradient",
    "Saliency",
    "SpectralResidual",
    "maps_of",
    "normalized",
    "smoothed",
]
