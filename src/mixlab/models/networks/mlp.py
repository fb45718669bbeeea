"""A small network for rows of a table and for embeddings."""

import torch
from torch import Tensor, nn

from mixlab.checks import BELOW_1, whole
from mixlab.data.spec import DataSpec


class MLP(nn.Module):
    """Dense layers with ReLU: rows (B, F) or embeddings (B, D) to logits.

    Of embeddings (B, T, D) the mean over T is taken first; any other row is flattened.

    Args:
        spec: of the data.
        width: units of each hidden layer.
        depth: hidden layers, >= 1.
        dropout: in [0, 1), after each of them.
    """

    def __init__(
        self, spec: DataSpec, *, width: int = 64, depth: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        for name, value in (("width", width), ("depth", depth)):
            whole(1).check(f"model.network.{name}", value)
        BELOW_1.check("model.network.dropout", dropout)
        self.pools = len(spec.shape) == 2 and spec.feature_axis == -1
        size = spec.channels if self.pools else int(torch.tensor(spec.shape).prod())
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(size, width), nn.ReLU(), nn.Dropout(dropout)]
            size = width
        self.layers = nn.Sequential(*layers, nn.Linear(width, spec.num_classes))
        self.feature_layers = tuple(f"layers.{3 * hidden + 1}" for hidden in range(depth))  # ReLUs

    def forward(self, rows: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        return self.layers(rows.mean(1) if self.pools else rows.flatten(1))
