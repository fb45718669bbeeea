"""Methods as published elsewhere, including their mistakes, to reproduce published figures."""

from mixlab.mixing.methods.published.both_classes import BothClasses
from mixlab.mixing.methods.published.cutmix import PublishedCutMix

__all__ = ["BothClasses", "PublishedCutMix"]
