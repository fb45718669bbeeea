"""Augmentations: frozen dataclasses, called as `augmentation(images, rng)`."""

from mixlab.data.augmentation.augmentation import KINDS, Augmentation
from mixlab.data.augmentation.compose import OneOf, Sequence
from mixlab.data.augmentation.erase import Cutout, GridMask, HideAndSeek, RandomErasing
from mixlab.data.augmentation.flip_crop import FlipCrop
from mixlab.data.augmentation.policies import AugMix, AutoAugment, RandAugment, TrivialAugment
from mixlab.data.augmentation.transforms import Blur, ColorJitter, Grayscale, Noise, Rotation

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
    "HideAndSeek",
    "Noise",
    "OneOf",
    "RandAugment",
    "RandomErasing",
    "Rotation",
    "Sequence",
    "TrivialAugment",
]
