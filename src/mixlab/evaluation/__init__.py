"""Tests of a trained model beyond its accuracy on the test set: test-time augmentation."""

from mixlab.evaluation.tta import Crops, Flip, RandAugment, Views, VoteResult, Voting

__all__ = ["VoteResult", "Crops", "Flip", "RandAugment", "Views", "Voting"]
