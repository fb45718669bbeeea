"""What is asked of a trained model beyond its accuracy on the test set."""

from mixlab.evaluation.tta import Crops, Flip, RandAugment, Views
from mixlab.evaluation.voting import Ballot, Voting

__all__ = ["Ballot", "Crops", "Flip", "RandAugment", "Views", "Voting"]
