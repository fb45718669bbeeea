"""Models: the classifier Lightning trains, and the networks in it."""

from mixlab.models.classifier import ImageClassifier
from mixlab.models.optimizers import TimmOptimizer, TimmScheduler

__all__ = ["ImageClassifier", "TimmOptimizer", "TimmScheduler"]
