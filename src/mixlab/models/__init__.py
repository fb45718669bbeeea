"""Models: the classifier Lightning trains, and the networks in it."""

from mixlab.models.classifier import ImageClassifier
from mixlab.models.multi_label import MultiLabelClassifier
from mixlab.models.optimizers import TimmOptimizer, TimmScheduler
from mixlab.models.segmenter import ImageSegmenter

__all__ = [
    "ImageClassifier",
    "ImageSegmenter",
    "MultiLabelClassifier",
    "TimmOptimizer",
    "TimmScheduler",
]
