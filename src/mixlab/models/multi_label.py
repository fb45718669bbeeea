"""A LightningModule for images that may have several classes, or none."""

from functools import wraps
from typing import Any

from torch import Tensor

from mixlab.errors import UserError
from mixlab.models.classifier import ImageClassifier
from mixlab.models.losses import cross_entropy


class MultiLabelClassifier(ImageClassifier):
    """Train a network to tell each class by itself, from labels of 0 and 1 or mixtures of them.

    As `ImageClassifier`, with a sigmoid for each class in place of a softmax over them: a class is
    predicted if its logit is above 0. `accuracy` is the share of right answers over all images and
    classes, and `class_accuracy` that of each class; in training, a mixed label counts as present
    from 0.5. Metrics of torchmetrics must be those for several labels
    (`metrics=mean_average_precision`). The loss must be given: `binary_cross_entropy`, or one of
    the user's (`OwnLoss`).
    """

    @wraps(ImageClassifier.__init__)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.loss is cross_entropy:
            raise UserError(
                "model.loss=cross_entropy is for one class an image; with several labels use "
                "model.loss=binary_cross_entropy"
            )

    def count(self, stage: str, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Keep what the stage's figures are made of."""
        predicted, present = logits > 0, targets >= 0.5
        self.tallies[stage].add_right(loss, (predicted == present).float().mean(1))
        if stage in self.more:
            self.more[stage].update(logits.sigmoid().detach(), present.long())  # pyright: ignore
        if stage == "test":
            self.by_class.add_each(predicted == present)
