"""The residual network for small images of He et al. 2015 (arXiv:1512.03385, section 4.2).

In the details it follows Keras, whose published results it reproduces: biases everywhere, truncated
He-normal kernels, batch normalization with epsilon 1e-3 and momentum 0.99, TensorFlow's padding.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlab.data.spec import ImageSpec
from mixlab.errors import UserError

TRUNCATION = 0.87962566103423978  # spread of a standard normal that is cut off at 2


def he_normal_(weight: Tensor) -> Tensor:
    """Fill with a normal of variance 2 / fan-in, cut off at two of its sigmas, as Keras does."""
    fan_in = weight[0].numel()
    sigma = math.sqrt(2 / fan_in) / TRUNCATION
    return nn.init.trunc_normal_(weight, std=sigma, a=-2 * sigma, b=2 * sigma)


class SameConv(nn.Conv2d):
    """Convolution whose output is as large as the input over the stride, rounded up.

    An odd number of padding rows puts the odd one below, and the odd column right.
    """

    def __init__(self, channels_in: int, channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(channels_in, channels, kernel, stride)
        he_normal_(self.weight)
        nn.init.zeros_(self.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, input: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return F.conv2d(input, self.weight, self.bias, padding=kernel // 2)
        down, right = (total_padding(side, kernel, stride) for side in input.shape[-2:])
        padding = [right // 2, right - right // 2, down // 2, down - down // 2]
        return F.conv2d(F.pad(input, padding), self.weight, self.bias, stride)


def total_padding(side: int, kernel: int, stride: int) -> int:
    """Rows to add so that ceil(side / stride) come out."""
    return max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)


def normalization(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)  # Keras' momentum is 1 - torch's


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, which is projected where the shape changes."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            SameConv(channels_in, channels, stride=stride),
            normalization(channels),
            nn.ReLU(),
            SameConv(channels, channels),
            normalization(channels),
        )
        changes = stride != 1 or channels_in != channels
        self.shortcut = SameConv(channels_in, channels, 1, stride) if changes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.residual(images) + self.shortcut(images))


class ResNet(nn.Module):
    """Three stages of 16, 32 and 64 filters: 273,066 parameters at depth 20 for CIFAR-10.

    Args:
        spec: of the data.
        depth: 6n + 2 layers, n blocks in each stage.
    """

    def __init__(self, spec: ImageSpec, *, depth: int = 20) -> None:
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 8 or depth % 6 != 2:
            raise UserError(f"depth must be 6n + 2 (8, 14, 20, 32, 44, 56, 110), got {depth!r}")
        super().__init__()
        blocks = [
            BasicBlock(
                max(16, width // 2) if first else width, width, 2 if first and width > 16 else 1
            )
            for width in (16, 32, 64)
            for first in [True] + [False] * (depth // 6 - 1)
        ]
        self.features = nn.Sequential(
            SameConv(spec.channels, 16), normalization(16), nn.ReLU(), *blocks
        )
        blocks_a_stage, stem = depth // 6, 3
        self.feature_layers = tuple(
            f"features.{stem + stage * blocks_a_stage - 1}" for stage in (1, 2, 3)
        )
        self.head = nn.Linear(64, spec.num_classes)
        he_normal_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))
