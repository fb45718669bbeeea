"""A LightningModule for segmentation: the classifier's loss at each pixel, and the overlap."""

from typing import Any

from torch import Tensor, nn
from torchmetrics.classification import MulticlassJaccardIndex

from mixlab.models.classifier import ImageClassifier


class ImageSegmenter(ImageClassifier):
    """Train a network to tell the class of each pixel, from segmentation masks or mixtures of them.

    As `ImageClassifier`, with `accuracy` over pixels; in validation and test `<stage>/iou` as well,
    the intersection over union of predicted and true pixels, counted over the whole set and
    averaged over the classes that occur.

    Args:
        network: (B, C, H, W) float images to (B, num_classes, H, W) logits.
        num_classes: of the data, the background's among them.
        kwargs: as of `ImageClassifier`.
    """

    def __init__(self, network: nn.Module, *args: Any, num_classes: int, **kwargs: Any) -> None:
        super().__init__(network, *args, num_classes=num_classes, **kwargs)
        self.overlap = nn.ModuleDict(
            {stage: MulticlassJaccardIndex(num_classes) for stage in ("val", "test")}
        )

    def count(self, stage: str, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        super().count(stage, loss, logits, targets)
        if stage in self.overlap:
            self.overlap[stage].update(logits.detach(), targets)  # pyright: ignore

    def report(self, stage: str) -> None:
        super().report(stage)
        if stage in self.overlap:
            self.log(f"{stage}/iou", self.overlap[stage])  # pyright: ignore
