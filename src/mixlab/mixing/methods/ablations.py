"""Ablations: the draws of a method, with only the inputs or only the labels mixed."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from mixlab.checks import MIX
from mixlab.errors import UserError
from mixlab.mixing.binding import bind
from mixlab.mixing.blend import Blend
from mixlab.mixing.methods.method import Method

KEPT_WHOLE = {"inputs": "label", "labels": "image"}  # whole, for each thing that is mixed alone


@dataclass(frozen=True)
class Ablated:
    """Mixes only inputs or only labels, as `method` does, while each row keeps the other.

    Attributes:
        method: whose draws are used, unchanged.
        mix: `inputs` or `labels`.
    """

    method: Method
    mix: str

    @property
    def num_partners(self) -> int:
        """Those of the method."""
        return self.method.num_partners

    @property
    def label_differs(self) -> str:
        """What is mixed, and what is not."""
        return f"only the {self.mix} are mixed, and a row keeps its whole {KEPT_WHOLE[self.mix]}"

    def bind(self, network: nn.Module) -> "Ablated":
        """A copy whose method looks at `network`, if it looks at one."""
        return replace(self, method=bind(self.method, network))

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`; raises UserError where only labels are mixed and the method keeps them."""
        blend = self.method(images, targets, rng, partners)
        own = torch.eye(1, blend.num_sources, device="cpu")
        if self.mix == "inputs":
            return replace(blend, share=own)
        if blend.num_sources == 1:
            name = type(self.method).__name__
            raise UserError(f"mix=labels would mix nothing, as {name} keeps labels; use both")
        return Blend(blend.source, own, blend.share)


def ablated(method: Method, mix: str) -> Method:
    """The method for `mixing.mix`: itself for `both`, else one with its draws."""
    MIX.check("mix", mix)
    if mix == "both":
        return method
    if hasattr(method, "callback"):
        name = type(method).__name__
        raise UserError(
            f"mix={mix} is not for {name}, whose masks or labels the network decides; use both"
        )
    return Ablated(method, mix)
