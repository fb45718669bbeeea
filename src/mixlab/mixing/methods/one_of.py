"""OneOf: one of several methods, chosen by weight for each row or for the batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor, nn

from mixlab import checks
from mixlab.mixing.binding import bind
from mixlab.mixing.blend import Blend
from mixlab.mixing.combine import select
from mixlab.mixing.methods.method import Method, differing_labels
from mixlab.mixing.partners import partner_columns


@dataclass(frozen=True)
class OneOf:
    """Chooses among methods; itself a method.

    Draws: one of the methods, by its weight, for each row or for the batch; then what that draws.
    Label: as the chosen method's.
    Avoid: where the question is which method helps.

    Attributes:
        methods: at least one.
        weights: one number >= 0 for each method, not all 0, not necessarily summing to one; None
            weighs all the same.
        per_row: choose for each row, or once for the batch.
    """

    methods: Sequence[Method]
    weights: Sequence[float] | None = None
    per_row: bool = True

    def __post_init__(self) -> None:
        checks.check_fields(self, methods=checks.METHODS)
        weights = checks.weights(len(self.methods)).but("null weighs all the same")
        checks.check_fields(self, weights=weights, per_row=checks.FLAG)

    @property
    def num_partners(self) -> int:
        """The most that any of the methods uses."""
        return max(method.num_partners for method in self.methods)

    @property
    def label_differs(self) -> str | None:
        """The sentences of the methods."""
        return differing_labels(self.methods)

    def bind(self, network: nn.Module) -> "OneOf":
        """A copy whose methods look at `network`."""
        return replace(self, methods=[bind(method, network) for method in self.methods])

    def __call__(
        self,
        images: Tensor,
        targets: Tensor,
        rng: np.random.Generator,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """See `Method`."""
        columns = partner_columns(partners, images, rng, self.num_partners)
        weights = np.array(self.weights or [1.0] * len(self.methods))
        num_draws = len(columns) if self.per_row else 1
        choice = rng.choice(len(weights), size=num_draws, p=weights / weights.sum())
        if not self.per_row:
            return self.methods[choice[0]](images, targets, rng, columns)
        blends = [method(images, targets, rng, columns) for method in self.methods]
        return select(choice, blends, images.device)
