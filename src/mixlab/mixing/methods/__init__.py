"""The mixing methods: frozen dataclasses, called as `method(images, targets, rng, partners)`."""

from mixlab.mixing.methods.alignmix import AlignMix
from mixlab.mixing.methods.attentivemix import AttentiveMix
from mixlab.mixing.methods.automix import AutoMix
from mixlab.mixing.methods.concat import Concat
from mixlab.mixing.methods.cut_thumbnail import CutThumbnail
from mixlab.mixing.methods.cutmix import CutMix
from mixlab.mixing.methods.cutout import Cutout
from mixlab.mixing.methods.fmix import FMix
from mixlab.mixing.methods.gmix import GMix
from mixlab.mixing.methods.gridmix import GridMix
from mixlab.mixing.methods.guidedmixup import GuidedMixup
from mixlab.mixing.methods.hmix import HMix
from mixlab.mixing.methods.manifold_mixup import ManifoldMixup
from mixlab.mixing.methods.method import Method
from mixlab.mixing.methods.mixed_concat import MixedConcat
from mixlab.mixing.methods.mixup import Mixup
from mixlab.mixing.methods.mixup_many import MixupMany
from mixlab.mixing.methods.mosaic import Mosaic
from mixlab.mixing.methods.one_of import OneOf
from mixlab.mixing.methods.patchmix import PatchMix
from mixlab.mixing.methods.patchup import HardPatchUp, SoftPatchUp
from mixlab.mixing.methods.point_mixup import PointMixup
from mixlab.mixing.methods.puzzlemix import PuzzleMix
from mixlab.mixing.methods.random_2x2 import Random2x2
from mixlab.mixing.methods.resizemix import ResizeMix
from mixlab.mixing.methods.ricap import Ricap
from mixlab.mixing.methods.saliencymix import SaliencyMix
from mixlab.mixing.methods.sequence import Sequence
from mixlab.mixing.methods.signal_cutmix import SignalCutMix
from mixlab.mixing.methods.smoothmix import SmoothMix
from mixlab.mixing.methods.snapmix import SnapMix
from mixlab.mixing.methods.stackmix import StackMix
from mixlab.mixing.methods.tokenmix import TokenMix
from mixlab.mixing.methods.transmix import TransMix
from mixlab.mixing.methods.vh_mixup import VHMixup

__all__ = [
    "AlignMix",
    "AttentiveMix",
    "AutoMix",
    "Concat",
    "CutMix",
    "CutThumbnail",
    "Cutout",
    "FMix",
    "GMix",
    "GridMix",
    "GuidedMixup",
    "HMix",
    "HardPatchUp",
    "ManifoldMixup",
    "Method",
    "MixedConcat",
    "Mixup",
    "MixupMany",
    "Mosaic",
    "OneOf",
    "PatchMix",
    "PointMixup",
    "PuzzleMix",
    "Random2x2",
    "ResizeMix",
    "Ricap",
    "SaliencyMix",
    "Sequence",
    "SignalCutMix",
    "SmoothMix",
    "SnapMix",
    "SoftPatchUp",
    "StackMix",
    "TokenMix",
    "TransMix",
    "VHMixup",
]
