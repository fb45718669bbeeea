"""What is asked of a trained model beyond its accuracy on the test set."""

from mixlab.evaluation.tta import Crops, Flip, RandAugment, Views
from mixlab.evaluation.voting import VoteResult, Voting

__all__ = ["VoteResult", "Crops", "Flip", "RandAugment", "Views", "Voting"]
