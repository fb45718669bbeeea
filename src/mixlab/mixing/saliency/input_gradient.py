"""InputGradient: a pixel matters as much as the loss changes with it.

Simonyan et al., Deep Inside Convolutional Networks, 2013, https://arxiv.org/abs/1312.6034, section
3; with the norm over the channels as in Puzzle Mix, https://arxiv.org/abs/2009.06962.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlab.errors import UserError
from mixlab.mixing.saliency.maps import given_network, normalized
from mixlab.mixing.undisturbed import recordable, undisturbed


@dataclass(frozen=True)
class InputGradient:
    """The norm over the channels of d loss / d image. Costs a pass forward and one backward.

    The authors differentiate in training mode, so that statistics of normalization move twice a
    step; here the network is in eval mode and nothing of it changes.

    Attributes:
        loss: of logits and targets, a number summed over the rows; None for `fitting_loss`.
        network: images to logits; None for the one being trained.
    """

    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    network: nn.Module | None = field(default=None, repr=False, compare=False)

    def bind(self, network: nn.Module) -> "InputGradient":
        """A copy that looks at `network`, unless it has one of its own."""
        return self if self.network is not None else replace(self, network=network)

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """See `Saliency`; raises UserError without a network, or one of other classes."""
        network = given_network(self, self.network)
        with undisturbed(network, images) as pixels:
            pixels.requires_grad_()
            loss = (self.loss or fitting_loss)(network(pixels), recordable(targets))
            (slope,) = torch.autograd.grad(loss, pixels)
        return normalized(torch.linalg.vector_norm(slope.float().flatten(1, -3), dim=1))


def fitting_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The sum over rows of the cross-entropy of soft labels, of (R, C) or of planes (R, C, H, W).

    Of the binary one where labels (R, C) of a row do not sum to one: it has several classes or
    none. Waits for no GPU.
    """
    one = soft_cross_entropy(logits, targets)
    if targets.ndim != 2:
        return one
    several = F.binary_cross_entropy_with_logits(
        logits.float(), targets.float().clamp(0, 1), reduction="sum"
    )
    return torch.where(((targets.sum(1) - 1).abs() > 1e-2).any(), several, one)


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The sum over rows, and over pixels of planes, of the cross-entropy of soft labels."""
    check_same_classes(logits, targets)
    return -(targets * logits.float().log_softmax(1)).sum()


def check_same_classes(logits: object, targets: Tensor) -> None:
    """Raise UserError unless the network gives a number for each of the targets."""
    if not isinstance(logits, Tensor):
        raise UserError(
            f"a saliency of classes needs logits, and the network gives a {type(logits).__name__}; "
            "wrap it in a module that returns the logits of it"
        )
    if logits.shape != targets.shape:
        got = tuple(logits.shape), tuple(targets.shape)
        raise UserError(
            f"the network's output has shape {got[0]} and the targets {got[1]}; a saliency of "
            "classes needs a network of the same classes"
        )
