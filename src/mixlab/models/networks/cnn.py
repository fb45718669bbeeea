"""Three small convolutional networks."""

from torch import Tensor, nn

from mixlab.checks import BELOW_1, whole
from mixlab.data.spec import ImageSpec
from mixlab.errors import UserError


def check_smallest(spec: ImageSpec, pixels: int, network: str) -> None:
    """Raise ValueError if the images are smaller than what the network can shrink."""
    if min(spec.height, spec.width) < pixels:
        raise UserError(
            f"{network} needs images of at least {pixels} x {pixels} pixels, got {spec.height} x "
            f"{spec.width}; set data.image_size={max(32, pixels)}"
        )


class CNN(nn.Sequential):
    """Two convolutions and two dense layers: 18,762 parameters for gray images and 10 classes.

    The network of the Keras example on mixup (keras.io/examples/vision/mixup), with Keras'
    initial weights: Glorot-uniform kernels and zero biases.
    """

    feature_layers = ("2", "5")  # whose features may be mixed

    def __init__(self, spec: ImageSpec, *, dropout: float = 0.2) -> None:
        check_smallest(spec, 16, "CNN")
        BELOW_1.check("model.network.dropout", dropout)
        super().__init__(
            nn.Conv2d(spec.channels, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 128),
            nn.ReLU(),
            nn.Linear(128, spec.num_classes),
        )
        for layer in self:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]


class CNN6(nn.Module):
    """Four convolutions and two dense layers: 1,082,186 parameters for CIFAR-10.

    The first dense layer is sized by the image: 128 x 5 x 5 inputs at 32 x 32 pixels. Initial
    weights are torch's. It gives logits; the sigmoid belongs to the loss.
    """

    feature_layers = ("features.4", "features.9")

    def __init__(self, spec: ImageSpec) -> None:
        check_smallest(spec, 16, "CNN6")
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(spec.channels, 64, 3),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 3),
            nn.ReLU(),
            nn.Conv2d(128, 128, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        height, width = (((side - 4) // 2 - 4) // 2 for side in (spec.height, spec.width))
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(128 * height * width, 256),
            nn.ReLU(),
            nn.Linear(256, spec.num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


class CNNBN(nn.Sequential):
    """Three convolutions with batch normalization, which learn small images in a few epochs.

    94,186 parameters for gray images and 10 classes, enough to learn wrong labels by heart. Initial
    weights are torch's.

    Args:
        spec: of the data, whose images are at least 8 pixels high and wide.
        width: channels of the first convolution; each of the others has twice as many as the last.
    """

    feature_layers = ("3", "7", "10")

    def __init__(self, spec: ImageSpec, *, width: int = 32) -> None:
        check_smallest(spec, 8, "CNNBN")
        whole(1).check("model.network.width", width)
        super().__init__(
            *conv_bn_relu(spec.channels, width),
            nn.MaxPool2d(2),
            *conv_bn_relu(width, 2 * width),
            nn.MaxPool2d(2),
            *conv_bn_relu(2 * width, 4 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, spec.num_classes),
        )


def conv_bn_relu(channels_in: int, channels: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
