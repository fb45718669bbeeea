"""Tests of a trained model beyond its accuracy on the test set: views that vote, rows, classes."""

from mixlab.evaluation.tta import Crops, Flip, RandAugment, Views
from mixlab.evaluation.voting import Answers, Voting

__all__ = ["Answers", "Crops", "Flip", "RandAugment", "Views", "Voting"]
