"""Manifold mixup: mixup of the features of a layer, drawn for each batch."""

from dataclasses import dataclass

from mixlab.mixing.methods.mixup import Mixup


@dataclass(frozen=True)
class ManifoldMixup(Mixup):
    """Mixup, as `HiddenMixingCallback` applies it to features; of images it is `Mixup` itself.

    Paper: Verma et al., Manifold Mixup: Better Representations by Interpolating Hidden States,
        2019, https://arxiv.org/abs/1806.05236.
    Draws: a layer for each batch, then lam ~ Beta(alpha, alpha); h~ = lam * h + (1 - lam) * h' of
        its features h.
    Label: y~ = lam * y + (1 - lam) * y'.
    Differs: the authors' code draws the input or one of the first two stages; here, unless
        `mixing.layers` says so, any of the stages.
    Published: 2.55 % test error on CIFAR-10 with WRN-28-10.
    Avoid: with a compiled network or partners from beyond the batch, which are refused.

    Attributes:
        alpha: > 0, of Beta(alpha, alpha), from which the own share is drawn.
        per_row: draw a share for each row, or one for the batch as in the paper.
    """

    usual_alpha = "2.0 is the paper's"
