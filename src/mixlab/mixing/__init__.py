"""Mixing: draw a `Blend` for a batch, then apply it. Knows numpy and torch, nothing else.

policy, method = Policy(probability=0.5), Mixup(alpha=0.2)
blend = policy.draw(method, images, targets, Address(seed, rank, epoch, batch))
images, targets = blend.mix(images, targets)

A `Mixer` is these lines as one call, `callbacks.MixingCallback` the same for Lightning.
"""

from mixlab.mixing.batch import Batch, BatchMixer, Guests, MixedBatch
from mixlab.mixing.binding import bind
from mixlab.mixing.blend import Blend
from mixlab.mixing.boxes import Boxes
from mixlab.mixing.combine import compose, select
from mixlab.mixing.labels import hard_labels, label_pair, soft_labels
from mixlab.mixing.methods import (
    AttentiveMix,
    Concat,
    CutMix,
    Cutout,
    CutThumbnail,
    FMix,
    GMix,
    GridMix,
    GuidedMixup,
    HMix,
    Method,
    MixedConcat,
    Mixup,
    MixupMany,
    Mosaic,
    OneOf,
    PatchMix,
    PointMixup,
    PuzzleMix,
    Random2x2,
    ResizeMix,
    Ricap,
    SaliencyMix,
    Sequence,
    SignalCutMix,
    SmoothMix,
    SnapMix,
    StackMix,
    VHMixup,
)
from mixlab.mixing.mixer import Mixer
from mixlab.mixing.partner_mask import PartnerMask
from mixlab.mixing.policy import Policy
from mixlab.mixing.stream import Address, Purpose, stream, torch_seed
from mixlab.mixing.tiles import Tiles

__all__ = [
    "Address",
    "AttentiveMix",
    "Batch",
    "BatchMixer",
    "Blend",
    "Boxes",
    "Concat",
    "CutMix",
    "CutThumbnail",
    "Cutout",
    "FMix",
    "GMix",
    "GridMix",
    "Guests",
    "GuidedMixup",
    "HMix",
    "Method",
    "MixedBatch",
    "MixedConcat",
    "Mixer",
    "Mixup",
    "MixupMany",
    "Mosaic",
    "OneOf",
    "PartnerMask",
    "PatchMix",
    "PointMixup",
    "Policy",
    "Purpose",
    "PuzzleMix",
    "Random2x2",
    "ResizeMix",
    "Ricap",
    "SaliencyMix",
    "Sequence",
    "SignalCutMix",
    "SmoothMix",
    "SnapMix",
    "StackMix",
    "Tiles",
    "VHMixup",
    "bind",
    "compose",
    "hard_labels",
    "label_pair",
    "select",
    "soft_labels",
    "stream",
    "torch_seed",
]
