"""Losses on soft labels, in at least 32 bits whatever the network computes in."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlab.checks import LOSS
from mixlab.errors import UserError

Loss = Callable[[Tensor, Tensor, float], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over the batch of -sum(target * log_softmax(logits)).

    Args:
        logits: (B, C), or (B, C, H, W) of the pixels of a segmentation.
        targets: shares of the classes, shaped as the logits; or int64 classes, (B,) or (B, H, W).
        smoothing: in [0, 1), the share of each label that is spread over all classes.
    """
    return F.cross_entropy(logits, targets, label_smoothing=smoothing)


def binary_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over batch and classes of the binary cross-entropy of sigmoid(logits).

    Arguments as for `cross_entropy`; targets above 1 count as 1, see `chances`.
    """
    shares = with_smoothing(chances(as_shares(targets, logits)), smoothing)
    return F.binary_cross_entropy_with_logits(logits, shares)


class OwnLoss(nn.Module):
    """A loss of the user's, `own(logits, targets) -> one number`, on targets as shares.

    Targets are floats shaped as the logits, (B, C) or (B, C, H, W), in validation and test too.
    They are smoothed before the loss sees them, and torch's binary cross-entropy gets `chances`.
    """

    def __init__(self, own: Callable[..., Any]) -> None:
        super().__init__()
        try:
            inspect.signature(own.forward if isinstance(own, nn.Module) else own).bind(0, 0)
        except TypeError as error:
            raise UserError(
                f"model.loss is called with logits and targets, and does not take them: {error}"
            ) from error
        except ValueError:  # some functions of torch's have no signature; they say it when called
            pass
        self.own = own  # a module is moved to the device with the model, and saved with it

    def forward(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        shares = as_shares(targets, logits)
        if is_binary(self.own):
            shares = chances(shares)
        shares = with_smoothing(shares, smoothing)
        try:
            loss = self.own(logits, shares)
        except Exception as error:
            if wants_numbers(self.own, logits, shares):
                name = f" {type(self.own).__name__}" if isinstance(self.own, nn.Module) else ""
                raise UserError(
                    f"model.loss{name} wants class numbers; losses here get shares (B, classes): "
                    "use torch.nn.CrossEntropyLoss or one of your own"
                ) from error
            raise
        if not isinstance(loss, Tensor) or loss.ndim:
            what = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise UserError(
                f"model.loss returned {what} for logits {tuple(logits.shape)}; return one number, "
                "the mean over the batch"
            )
        if logits.requires_grad and not loss.requires_grad:
            raise UserError(
                "model.loss returned a number that does not depend on the logits, so nothing would "
                "be learned; leave out detach(), item() and numpy()"
            )
        return loss


def wants_numbers(own: Callable[..., Any], logits: Tensor, shares: Tensor) -> bool:
    """Whether a loss takes class numbers in place of shares, tried on two rows."""
    few, of = logits[:2].detach(), shares[:2]  # whatever else fails, such as memory, does not here
    return not runs(own, few, of) and runs(own, few, of.argmax(1))


def runs(own: Callable[..., Any], logits: Tensor, targets: Tensor) -> bool:
    """Whether a loss raises nothing."""
    try:
        own(logits, targets)
    except Exception:
        return False
    return True


def as_shares(targets: Tensor, logits: Tensor) -> Tensor:
    """Targets as floats shaped as the logits."""
    if targets.is_floating_point():
        return targets
    return F.one_hot(targets, logits.shape[1]).movedim(-1, 1).to(logits.dtype)


def chances(shares: Tensor) -> Tensor:
    """Shares of at most 1.

    SnapMix's reach 2 where a class is in both rows. Above 1 the binary cross-entropy has no least
    value: it falls without end as the logit grows.
    """
    return shares.clamp(max=1)


def with_smoothing(shares: Tensor, smoothing: float) -> Tensor:
    """Shares of which the part `smoothing` is spread over all classes."""
    return shares * (1 - smoothing) + smoothing / shares.shape[1] if smoothing else shares


def is_binary(loss: Callable[..., Any]) -> bool:
    """Whether a loss asks about each class by itself; torch's may have options by `partial`."""
    if isinstance(loss, nn.BCEWithLogitsLoss):
        return True
    return getattr(loss, "func", loss) in BINARY


BINARY = (binary_cross_entropy, F.binary_cross_entropy_with_logits)
LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
}


def widened(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one floating dtype of at least 32 bits; class numbers stay as they are."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits, targets.to(logits.dtype) if targets.is_floating_point() else targets


def probabilities(logits: Tensor, loss: Loss) -> Tensor:
    """What logits (B, C) mean to a loss: shares that sum to one, or each class by itself."""
    return logits.sigmoid() if is_binary(getattr(loss, "own", loss)) else logits.softmax(1)


def find_loss(loss: str | Callable[..., Any]) -> Loss:
    """The loss of a name in `LOSSES`, or one of the user's.

    Raises:
        UserError: it is neither.
    """
    if callable(loss):
        return OwnLoss(loss)
    LOSS.check("model.loss", loss)
    return LOSSES[loss]
