"""A small network for point clouds that does not depend on the order of their points."""

from torch import Tensor, nn

from mixlab.checks import whole
from mixlab.data.spec import DataSpec
from mixlab.errors import UserError


class PointNet(nn.Module):
    """The same layers for each point, then the maximum over the points: (B, C, N) to logits.

    Qi et al., PointNet, 2017, https://arxiv.org/abs/1612.00593, section 4.2, eq. 1, without the
    networks that align the input and its features.

    Args:
        spec: of the data: coordinates (3) and points.
        width: features of a point after the first layer; twice as many after the second.
    """

    feature_layers = ("head.1",)  # after the maximum, where points have no order

    def __init__(self, spec: DataSpec, *, width: int = 64) -> None:
        super().__init__()
        whole(1).check("model.network.width", width)
        if len(spec.shape) != 2 or spec.feature_axis != 0:
            raise UserError(
                f"PointNet takes clouds of coordinates x points, the data have {spec.words}; use "
                "model=mlp"
            )
        self.each_point = nn.Sequential(
            *dense_bn_relu(spec.channels, width), *dense_bn_relu(width, 2 * width)
        )
        self.head = nn.Sequential(
            nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, spec.num_classes)
        )

    def forward(self, clouds: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        return self.head(self.each_point(clouds).amax(2))


def dense_bn_relu(features_in: int, features: int) -> list[nn.Module]:
    """A dense layer for each point of (B, features_in, N)."""
    return [nn.Conv1d(features_in, features, 1), nn.BatchNorm1d(features), nn.ReLU()]
