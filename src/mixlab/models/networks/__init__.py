"""Networks. Each takes the `ImageSpec` of the data first, and images (B, C, H, W) from 28 px up."""

from mixlab.models.networks.cnn import CNN, CNN6, CNNBN
from mixlab.models.networks.resnet import ResNet
from mixlab.models.networks.segmentation import Segmentation
from mixlab.models.networks.timm import Timm

__all__ = ["CNN", "CNN6", "CNNBN", "ResNet", "Segmentation", "Timm"]
