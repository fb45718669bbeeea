"""Methods as somebody published them, slips included, to reproduce their figures."""

from mixlab.mixing.methods.published.both_classes import BothClasses
from mixlab.mixing.methods.published.cutmix import PublishedCutMix

__all__ = ["BothClasses", "PublishedCutMix"]
