"""A small convolutional network for signals."""

from torch import nn

from mixlab.checks import whole
from mixlab.data.spec import DataSpec
from mixlab.errors import UserError


class CNN1d(nn.Sequential):
    """Three convolutions over time with batch normalization: signals (B, C, L) to logits.

    Args:
        spec: of the data: channels, and a length of at least 8 samples.
        width: channels of the first convolution; each of the others has twice as many as the last.
    """

    feature_layers = ("3", "7", "10")  # whose features may be mixed

    def __init__(self, spec: DataSpec, *, width: int = 16) -> None:
        whole(1).check("model.network.width", width)
        if len(spec.shape) != 2 or spec.feature_axis != 0 or spec.shape[1] < 8:
            raise UserError(
                f"CNN1d takes signals of channels x 8 or more samples, the data have {spec.words}"
                f"{' (features last)' if spec.feature_axis else ''}; use model=mlp"
            )
        super().__init__(
            *conv1d_bn_relu(spec.channels, width),
            nn.MaxPool1d(2),
            *conv1d_bn_relu(width, 2 * width),
            nn.MaxPool1d(2),
            *conv1d_bn_relu(2 * width, 4 * width),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
            nn.Linear(4 * width, spec.num_classes),
        )


def conv1d_bn_relu(channels_in: int, channels: int) -> list[nn.Module]:
    convolution = nn.Conv1d(channels_in, channels, 7, padding=3, bias=False)
    return [convolution, nn.BatchNorm1d(channels), nn.ReLU()]
