"""Augmentations: frozen dataclasses, called as `augmentation(images, rng)`."""

from mixlab.data.augmentation.augmentation import KINDS, Augmentation
from mixlab.data.augmentation.erase import Cutout, RandomErasing
from mixlab.data.augmentation.flip_crop import FlipCrop
from mixlab.data.augmentation.grayscale import Grayscale
from mixlab.data.augmentation.grid_mask import GridMask
from mixlab.data.augmentation.noise import Noise
from mixlab.data.augmentation.policies import AugMix, AutoAugment, RandAugment, TrivialAugment
from mixlab.data.augmentation.several import OneOf, Sequence
from mixlab.data.augmentation.transforms import Blur, ColorJitter, Rotation

__all__ = [
    "KINDS",
    "AugMix",
    "Augmentation",
    "AutoAugment",
    "Blur",
    "ColorJitter",
    "Cutout",
    "FlipCrop",
    "Grayscale",
    "GridMask",
    "Noise",
    "OneOf",
    "RandAugment",
    "RandomErasing",
    "Rotation",
    "Sequence",
    "TrivialAugment",
]
