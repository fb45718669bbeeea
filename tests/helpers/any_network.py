"""A network without weights for images of any size, channels and dtype; torch alone is needed."""

import torch
from torch import Tensor, nn


class AnyNetwork(nn.Module):
    """Two feature maps of the mean over the channels, and 64 logits of a grid of them."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Tanh()

    def forward(self, images: Tensor) -> Tensor:
        gray = images.flatten(1, -3).mean(1, keepdim=True)
        maps = self.features(torch.cat([gray, 3 * gray.square() - gray], 1))
        row = torch.arange(maps.shape[2], device=maps.device)[:, None]
        column = torch.arange(maps.shape[3], device=maps.device)
        waves = torch.stack([torch.cos(n * row + n * n * column) for n in range(1, 65)])
        return (maps.sum(1, keepdim=True) * waves.to(maps)).mean((2, 3))


def first_columns(logits: Tensor, targets: Tensor) -> Tensor:
    """A loss of any number of classes."""
    shares = targets.flatten(2).mean(2) if targets.ndim > 2 else targets
    return -(shares * logits[:, : shares.shape[1]].float().log_softmax(1)).sum()
