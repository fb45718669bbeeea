"""The mixing methods: frozen dataclasses, called as `method(images, targets, rng, partners)`."""

from mixlab.mixing.methods.cutmix import CutMix
from mixlab.mixing.methods.cutout import Cutout
from mixlab.mixing.methods.method import Method
from mixlab.mixing.methods.mixup import Mixup
from mixlab.mixing.methods.mixup_many import MixupMany
from mixlab.mixing.methods.one_of import OneOf
from mixlab.mixing.methods.sequence import Sequence

__all__ = [
    "CutMix",
    "Cutout",
    "Method",
    "Mixup",
    "MixupMany",
    "OneOf",
    "Sequence",
]
