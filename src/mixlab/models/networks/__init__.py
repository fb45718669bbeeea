"""Networks. Each takes the spec of the data first: `ImageSpec`, for images (B, C, H, W) from 28 px
up, or `DataSpec`, for other rows."""

from mixlab.models.networks.cnn import CNN, CNN6, CNNBN
from mixlab.models.networks.cnn1d import CNN1d
from mixlab.models.networks.mlp import MLP
from mixlab.models.networks.pointnet import PointNet
from mixlab.models.networks.resnet import ResNet
from mixlab.models.networks.segmentation import Segmentation
from mixlab.models.networks.timm import Timm

__all__ = [
    "CNN",
    "CNN6",
    "CNNBN",
    "MLP",
    "CNN1d",
    "PointNet",
    "ResNet",
    "Segmentation",
    "Timm",
]
