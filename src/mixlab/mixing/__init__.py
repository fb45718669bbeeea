"""Mixing: draw a `Blend` for a batch, then apply it. Knows numpy and torch, nothing else.

policy, method = Policy(probability=0.5), Mixup(alpha=0.2)
blend = policy.draw(method, images, targets, Address(seed, rank, epoch, batch))
images, targets = blend.mix(images, targets)

A `Mixer` is these lines as one call, `callbacks.MixingCallback` the same for Lightning.
"""

from mixlab.mixing.batch import Batch, BatchMixer, Guests, MixedBatch
from mixlab.mixing.blend import Blend
from mixlab.mixing.combine import compose, select
from mixlab.mixing.labels import hard_labels, label_pair, soft_labels
from mixlab.mixing.masks import Boxes
from mixlab.mixing.methods import CutMix, Cutout, Method, Mixup, MixupMany, OneOf, Sequence
from mixlab.mixing.mixer import Mixer
from mixlab.mixing.policy import Policy
from mixlab.mixing.stream import Address, Purpose, stream, torch_seed

__all__ = [
    "Address",
    "Batch",
    "BatchMixer",
    "Blend",
    "Boxes",
    "CutMix",
    "Cutout",
    "Guests",
    "Method",
    "MixedBatch",
    "Mixer",
    "Mixup",
    "MixupMany",
    "OneOf",
    "Policy",
    "Purpose",
    "Sequence",
    "compose",
    "hard_labels",
    "label_pair",
    "select",
    "soft_labels",
    "stream",
    "torch_seed",
]
