"""A LightningModule for segmentation: the classifier's loss at each pixel."""

from mixlab.models.classifier import ImageClassifier


class ImageSegmenter(ImageClassifier):
    """Train a network to tell the class of each pixel, from segmentation masks or mixtures of them.

    As `ImageClassifier`, for a network from (B, C, H, W) float images to (B, num_classes, H, W)
    logits. `accuracy` is over pixels; the overlap of predicted and true pixels is `metrics=iou`.
    """
