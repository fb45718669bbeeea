"""Policy: how often rows are mixed, which rows, when in training, and with which partners."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from mixlab.checks import PROBABILITY, check_fields, did_you_mean
from mixlab.errors import UserError
from mixlab.mixing.alpha import AlphaSchedule, alpha_from, with_alpha
from mixlab.mixing.blend import Blend
from mixlab.mixing.class_probability import (
    ClassProbability,
    check_class_probability,
    row_probabilities,
)
from mixlab.mixing.methods.method import Method
from mixlab.mixing.partners import (
    ACROSS_RANKS,
    BY_METHOD,
    PartnerRule,
    drawn_columns,
    rule_from,
    shared_permutations,
)
from mixlab.mixing.schedule import schedule_from
from mixlab.mixing.stream import Address, Purpose, stream


@dataclass(frozen=True)
class Policy:
    """The knobs that every method shares.

    Attributes:
        probability: in [0, 1], of mixing what the gate admits.
        gate: `row` or `batch`, the unit that the probability applies to; `{every: n}`: as `row`,
            but only rows whose number in the data set is > 0 and divisible by n.
        schedule: factor on the probability: `constant`, `linear`, `cosine` or `{off_after: 0.9}`.
        partners: a rule of `mixlab.mixing.partners` by name, or a callable like them; `by_method`
            leaves the batch's rows to the method, where it pairs them itself.
        alpha_schedule: the method's alpha over the training, `{linear: [0.1, 1.0]}` or
            `{cosine: [0.1, 1.0]}`; None leaves it as it is.
        class_probability: in place of the probability, for rows of some classes, by number:
            `{3: 0.2}`. With gate `row` alone. It reads the targets, which waits for a GPU.

    Raises ValueError for any other value.
    """

    probability: float = 1.0
    gate: str | Mapping[str, int] = "row"
    schedule: str | Mapping[str, float] = "constant"
    partners: str | PartnerRule = "permutation"
    alpha_schedule: AlphaSchedule | None = None
    class_probability: ClassProbability | None = None

    def __post_init__(self) -> None:
        check_fields(self, probability=PROBABILITY)
        _check_gate(self.gate)
        schedule_from(self.schedule)
        rule_from(self.partners)
        if self.alpha_schedule is not None:
            alpha_from(self.alpha_schedule)
        if self.class_probability is not None:
            check_class_probability(self.class_probability)
            if self.gate != "row":
                raise UserError(
                    f"class_probability decides row by row, got gate={self.gate}; use gate=row"
                )

    @property
    def over_time(self) -> str | None:
        """`schedule=linear`: what depends on the progress of the training, if anything does."""
        if self.schedule != "constant":
            return f"schedule={self.schedule}"
        return None if self.alpha_schedule is None else f"alpha_schedule={self.alpha_schedule}"

    def check(self, method: Method) -> None:
        """Raise UserError unless the method has what the policy asks of it: alpha, a pairing."""
        self.scheduled(method, 0.0)
        if self.partners == BY_METHOD and not getattr(method, "pairs_rows", False):
            raise UserError(
                "partners=by_method is for a method that pairs rows itself, as GuidedMixup does, "
                f"got {type(method).__name__}; use permutation"
            )

    def rate(self, progress: float) -> float:
        """The probability in effect at `progress` of the training, in [0, 1]."""
        return self.probability * self._factor(progress)

    def scheduled(self, method: Method, progress: float) -> Method:
        """The method with the alpha in effect at `progress` of the training, in [0, 1].

        Raises UserError if it has no alpha, or several.
        """
        if self.alpha_schedule is None:
            return method
        return with_alpha(method, alpha_from(self.alpha_schedule)(min(max(progress, 0.0), 1.0)))

    def _factor(self, progress: float) -> float:
        return schedule_from(self.schedule)(min(max(progress, 0.0), 1.0))

    def _rates(self, progress: float, targets: Tensor, num_rows: int) -> float | np.ndarray:
        """The probability in effect, or that of each of the first rows of `targets` (R, C)."""
        if self.class_probability is None:
            return self.rate(progress)
        rows = row_probabilities(self.class_probability, self.probability, targets[:num_rows])
        return rows * self._factor(progress)

    def draw(
        self,
        method: Method,
        images: Tensor,
        targets: Tensor,
        address: Address,
        *,
        progress: float = 0.0,
        index: Tensor | None = None,
        num_rows: int | None = None,
        position: int = 0,
        partners: np.ndarray | None = None,
    ) -> Blend:
        """Draw the blend of one batch.

        Args:
            images, targets: (R, ...) and (R, C) float: the batch's rows, then the guests.
            address: of the batch.
            progress: of the training, in [0, 1].
            index: (B,) rows of the data set, for `gate={every: n}`.
            num_rows: B; all R rows by default.
            position: number of this policy among several that mix one batch.
            partners: of the rows, where they are already drawn.

        The gate draws first, always the same amount, then the partners, then the method. So two
        runs that differ only in their method share gate and partners; only in probability, all.
        """
        num_rows = images.shape[0] if num_rows is None else num_rows
        if num_rows == 0:
            return Blend.identity(0)
        rng = stream(address, Purpose.MIXING + position)
        rates = self._rates(progress, targets, num_rows)
        chosen = self._gate(rng.random(num_rows), rates, index)
        if chosen is not None and not chosen.any():
            return Blend.identity(num_rows)
        method = self.scheduled(method, progress)
        count = method.num_partners
        if partners is None and self.partners == ACROSS_RANKS:  # all rows are here
            partners = shared_permutations(address, num_rows, count, position)
        elif partners is None and self.partners == BY_METHOD:  # guests are in no pair
            images, targets = images[:num_rows], targets[:num_rows]
        elif partners is None:
            rule = rule_from(self.partners)
            partners = drawn_columns(rule, images, targets, rng, num_rows, count)
        blend = method(images, targets, rng, partners)
        if not isinstance(blend, Blend):
            made = f"{type(method).__name__} returned {type(blend).__name__}"
            raise UserError(f"{made}; a mixing method returns a mixlab.mixing.Blend")
        return blend if chosen is None else blend.where(chosen)

    def _gate(
        self, chance: np.ndarray, rate: float | np.ndarray, index: Tensor | None
    ) -> np.ndarray | None:
        """(B,) bool, the rows to mix, from uniform numbers `chance` (B,); None for all of them."""
        if not isinstance(rate, np.ndarray) and rate >= 1 and isinstance(self.gate, str):
            return None
        if self.gate == "batch":
            return np.broadcast_to(chance[0] < rate, chance.shape)
        if isinstance(self.gate, str):
            return chance < rate
        if index is None:
            raise UserError(
                f"gate={self.gate} needs the numbers of the rows in the data set, which batches of "
                "mixlab's data module have; give Policy.draw an index, or use gate=row"
            )
        number = index.cpu().numpy()
        return (chance < rate) & (number > 0) & (number % self.gate["every"] == 0)


def _check_gate(gate: Any) -> None:
    every = gate.get("every") if isinstance(gate, Mapping) and len(gate) == 1 else None
    if gate not in ("row", "batch") and (type(every) is not int or every < 1):
        wanted = "row, batch or {every: n} with a whole number n > 0"
        hint = did_you_mean(gate, ("row", "batch"), "choose one")
        raise UserError(f"gate must be {wanted}, got {gate!r}{hint}")
