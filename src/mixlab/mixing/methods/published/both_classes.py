"""A published tutorial's slip: mixup whose label has the partner's class at the row's own share."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from mixlab.errors import UserError
from mixlab.mixing.binding import bind
from mixlab.mixing.blend import Blend
from mixlab.mixing.methods.method import Method
from mixlab.mixing.partners import classes


@dataclass(frozen=True)
class BothClasses:
    """Mixes as `method` does, but weighs the partner's class by the row's *own* share.

    So a label sums to twice the own share, or to once where both rows are of one class (the class
    with the largest target). The slip of a tutorial, kept to repeat its figures.

    Draws: what the method draws.
    Label: the own share for the row's class and again for the partner's.
    Avoid: for anything but repeating published figures: the label is wrong. Rows of several
        labels are refused.

    Attributes:
        method: one that mixes two rows, such as `Mixup`.
    """

    method: Method

    num_partners = 1
    label_differs = "both classes get the own share, so that a label does not sum to one"

    def __post_init__(self) -> None:
        if self.method.num_partners != 1:
            raise UserError(f"BothClasses needs a method of two sources, got {self.method!r}")

    def bind(self, network: nn.Module) -> "BothClasses":
        """A copy whose method looks at `network`."""
        return replace(self, method=bind(self.method, network))

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; waits for a GPU, because it reads the targets."""
        blend = self.method(images, targets, rng, partners)
        if blend.num_sources != 2:  # as of StackMix, whose one partner goes with the row's picture
            raise UserError(f"BothClasses needs a method of two sources, got {self.method!r}")
        kinds = classes(targets, type(self).__name__, "use Mixup (mixing=mixup)")
        label = torch.from_numpy(kinds)[blend.source]
        own = blend.share[:, :1].expand(blend.num_rows, 1)
        twice = torch.where(label[:, :1] == label[:, 1:], 0, own)
        return replace(blend, share=torch.cat([own, twice], dim=1))
