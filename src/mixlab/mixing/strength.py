"""Strength: how much of a row others replace on average, the same for every method.

The gate's probability does it: probability = strength / mean mixed share of the method when every
row is mixed. The mixed share of a row is 1 - the share of its content that it keeps; an erased
part counts as mixed. What a method mixes by its pictures, and how many rows find a partner, is
measured on rows of the training.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, repeat
from math import floor, sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixlab.checks import STRENGTH
from mixlab.errors import Caution, UserError
from mixlab.mixing.alpha import field_names
from mixlab.mixing.given_maps import looks_at_pictures, without_network
from mixlab.mixing.methods.method import Method
from mixlab.mixing.pairing import BY_CLASS, chance_of_itself, shares_paired
from mixlab.mixing.policy import Policy
from mixlab.mixing.sample import Sampled
from mixlab.mixing.stream import Address, Purpose, stream

ShareAt = Callable[[float], float]  # mean mixed share, of the chance that a row is its own partner
STANDARD_ERROR = 0.005  # of the mean, as a fraction of it
ROWS_AT_ONCE = 64
FEWEST_DRAWS, MOST_DRAWS = 30, 20_000  # draws; the standard error of fewer is not known itself
QUICK_DRAWS, SURE = 10, 6  # for a lower bound: so many standard errors below the mean of few draws


def check_strength(strength: float | None, policy: Policy, method: Method) -> None:
    """Raise UserError for what is wrong whatever the pictures are."""
    STRENGTH.check("strength", strength)
    if strength is None:
        return
    given = f"mixing.strength={strength:g}"
    if policy.probability != 1:
        raise UserError(
            f"{given} sets the probability, got mixing.probability={policy.probability:g} too; "
            "give one of them"
        )
    if not isinstance(policy.gate, str):
        raise UserError(f"{given} needs every row at the gate, got gate={policy.gate}; use row")
    for knob in ("class_probability", "alpha_schedule"):
        if getattr(policy, knob) is not None:
            raise UserError(f"{given} and mixing.{knob} both set how much is mixed; give one")
    if (most := known_share(method)) is not None:
        check_reach(strength, method, most)


def at_strength(
    policy: Policy,
    method: Method,
    strength: float,
    picture: Sequence[int],
    batch_rows: int,
    sampled: Sampled | None = None,
) -> Policy:
    """The policy with the probability at which the mean mixed share of a row is `strength`.

    A schedule multiplies it as usual.

    Args:
        picture: the size of one row, as (C, H, W).
        batch_rows: rows among which a partner is drawn.
        sampled: gives rows of the training; without them every row counts as having a partner under
            a rule by class, and a method that looks at pictures is measured on noise.

    Raises:
        UserError: the method cannot replace so much.
    """

    def share(itself: float) -> float:
        return mixed_share(method, picture, itself, sampled)

    return at_share(policy, method, strength, share, batch_rows, sampled)


def at_share(
    policy: Policy,
    method: Method,
    strength: float,
    share: ShareAt,
    batch_rows: int,
    sampled: Sampled | None = None,
) -> Policy:
    """As `at_strength`, for a method whose mean mixed share is known.

    Where the rule leaves too many rows without a partner, it warns and mixes every row.
    """
    partners = policy.partners
    most = share(chance_of_itself(partners, batch_rows, method.num_partners))
    check_reach(strength, method, most)
    if sampled is not None and partners in BY_CLASS:
        paired = mean_when_known(shares_paired(partners, batch_rows, sampled()))
        most = share(1 - paired)
        if most * (1 + STANDARD_ERROR) < strength:
            warn_of_few_pairs(strength, partners, paired, most)
    return replace(policy, probability=strength / most if strength < most else float(strength > 0))


def warn_of_few_pairs(strength: float, partners: Any, paired: float, most: float) -> None:
    warnings.warn(
        f"mixing.strength={strength:g} cannot be reached with mixing.partners={partners}: "
        f"{paired:.0%} of the rows find a partner in their batch, so others replace {most:.3g} of "
        "a row; use a larger data.batch_size, or another rule",
        category=Caution,
        stacklevel=1,
    )


def check_reach(strength: float, method: Method, most: float) -> None:
    """Raise UserError if the strength is above `most`, the mean when every row is mixed."""
    if strength > most * (1 + STANDARD_ERROR):
        alpha = getattr(method, "alpha", None)
        name = type(method).__name__ + (f"(alpha={alpha})" if alpha else "")
        names = field_names(method)
        other = "alpha" if alpha and known_share(method) is None else "method"
        other = "mixing.method.side_fraction or method" if "side_fraction" in names else other
        end = f"{floor(most * 1000) / 1000:g}"  # rounded up it could not be reached itself
        raise UserError(
            f"mixing.strength={strength:g} cannot be reached: {name} replaces {end} of a row when "
            f"every row is mixed; use 0 to {end}, or another {other}"
        )


def known_share(method: Any) -> float | None:
    """The mean share of the partners by a formula, where the method knows one; else None."""
    return getattr(method, "mean_mixed", None)


def mixed_share(
    method: Method, picture: Sequence[int], itself: float = 0.0, sampled: Sampled | None = None
) -> float:
    """The mean mixed share of a row when every row is mixed, with a standard error below 0.5 %.

    By a formula, or measured: the method draws at a fixed seed until the mean is known, for random
    pictures or, where its masks depend on what is in them, for those of the training. Where it
    would look at a network, it gets random maps.

    Args:
        itself: the chance that a row is its own partner.
        sampled: gives rows of the training.
    """

    def share(each: Method) -> float:
        pictures = sampled if looks_at_pictures(each) else None
        return mean_when_known(shares_of_draws(each, picture, itself, pictures))

    return over_parts(method, itself, share)


def surely_reached(method: Method, picture: Sequence[int], itself: float = 0.0) -> float:
    """A strength that `mixed_share` would most likely exceed, from a few draws.

    Most strengths are far below what a method reaches, and need no more to be seen as such.
    """

    def lowest(each: Method) -> float:
        means = list(islice(shares_of_draws(each, picture, itself), QUICK_DRAWS))
        return float(np.mean(means)) - SURE * standard_error(means)

    return over_parts(method, itself, lowest)


def over_parts(method: Method, itself: float, share: Callable[[Method], float]) -> float:
    """By a formula where the method knows one, over the methods of one of several, or `share`."""
    if (known := known_share(method)) is not None:
        return known * (1 - itself)
    if hasattr(method, "methods") and hasattr(method, "weights"):  # one of several
        parts: Any = method
        shares = [over_parts(each, itself, share) for each in parts.methods]
        return float(np.average(shares, weights=parts.weights))
    return share(method)


def mean_when_known(shares: Iterator[float]) -> float:
    """The mean over as many draws as it takes to know it."""
    means: list[float] = []
    for mean in islice(shares, MOST_DRAWS):
        means.append(mean)
        if len(means) >= FEWEST_DRAWS and len(means) % 10 == 0:
            if standard_error(means) <= STANDARD_ERROR * float(np.mean(means)):
                break
    return float(np.mean(means))


def standard_error(means: Sequence[float]) -> float:
    return float(np.std(means, ddof=1)) / sqrt(len(means))


def shares_of_draws(
    method: Method, picture: Sequence[int], itself: float, sampled: Sampled | None = None
) -> Iterator[float]:
    """The mean mixed share of the rows of one batch after another, the same in each call."""
    rng = stream(Address(0), Purpose.STRENGTH)
    generator = torch.Generator().manual_seed(0)
    drawn = without_network(row_by_row(method), generator)
    for images, targets in rows_to_mix(picture, generator, rng, sampled):
        partners = others(ROWS_AT_ONCE, max(1, method.num_partners), itself, rng)
        blend = drawn(images, targets, rng, partners)
        yield 1 - float(blend.own_content.double().mean())


def rows_to_mix(
    picture: Sequence[int],
    generator: torch.Generator,
    rng: np.random.Generator,
    sampled: Sampled | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same random images and targets again and again, or others of a sample each time."""
    if sampled is None:
        images = torch.rand(ROWS_AT_ONCE, *picture, generator=generator, device="cpu")
        yield from repeat((images, torch.eye(ROWS_AT_ONCE, device="cpu")))
        return
    sample = sampled()
    while True:
        rows = torch.from_numpy(rng.integers(len(sample.targets), size=ROWS_AT_ONCE))
        yield sample.images[rows], sample.targets[rows]


def others(rows: int, columns: int, itself: float, rng: np.random.Generator) -> np.ndarray:
    """(rows, columns) int64: uniform among the other rows, or the row itself by chance `itself`."""
    own = np.arange(rows)[:, None]
    other = (own + rng.integers(1, rows, (rows, columns))) % rows
    return np.where(rng.random((rows, columns)) < itself, own, other)


def row_by_row(method: Any) -> Any:
    """The method with draws for each row in place of each batch, which have the same mean."""
    names, changes = field_names(method), {}
    if "per_row" in names:
        changes["per_row"] = True
    if "method" in names:
        changes["method"] = row_by_row(method.method)
    if "methods" in names:
        changes["methods"] = [row_by_row(each) for each in method.methods]
    return replace(method, **changes) if changes else method
