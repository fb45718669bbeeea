"""Partner rules: each of the batch's B rows gets a partner among R >= B rows.

A rule is called as `rule(images, targets, rng, num_rows)` with images (R, ...) and float targets
(R, C), the batch's rows first, then the guests; it returns B = num_rows row numbers, int64. **A row
without an eligible partner becomes its own partner** and stays unchanged: the only row of a batch,
the only row of its class under `same_class`, all rows of a batch of one class under `other_class`.

A method of several partners gets a column of them for each, see `drawn_columns`.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from mixlab.checks import one_of
from mixlab.errors import Caution, UserError
from mixlab.mixing.stream import Address, Purpose, stream

PartnerRule = Callable[[Tensor, Tensor, Generator, int], np.ndarray]


def permutation(images: Tensor, targets: Tensor, rng: Generator, num_rows: int) -> np.ndarray:
    """Uniform, each row at most once; a row may meet itself, as in mixup's and CutMix's papers."""
    return rng.permutation(images.shape[0])[:num_rows]


def derangement(images: Tensor, targets: Tensor, rng: Generator, num_rows: int) -> np.ndarray:
    """As a permutation, but no row meets itself: the rows form one random cycle."""
    order = rng.permutation(images.shape[0])
    partners = np.empty_like(order)
    partners[order] = np.roll(order, 1)
    return partners[:num_rows]


def cyclic(
    images: Tensor, targets: Tensor, rng: Generator, num_rows: int, column: int = 0
) -> np.ndarray:
    """The row before, the last for the first: nothing is drawn (torchvision's choice).

    A row's second partner is the row before that, and so on.
    """
    return (np.arange(num_rows) - 1 - column) % images.shape[0]


def reverse(
    images: Tensor, targets: Tensor, rng: Generator, num_rows: int, column: int = 0
) -> np.ndarray:
    """The batch in reverse order, the last row for the first: nothing is drawn (timm's choice).

    A row's second partner is the row before its first. Of an odd number of rows one meets itself.
    """
    return (images.shape[0] - 1 - np.arange(num_rows) - column) % images.shape[0]


def guests(
    images: Tensor,
    targets: Tensor,
    rng: Generator,
    num_rows: int,
    column: int = 0,
    name: str = "guests",
) -> np.ndarray:
    """The first guest for the first row and so on, from the start again when there are too few.

    A row's second partner is the guest after its first. Raises ValueError where there are none.
    """
    num_guests = images.shape[0] - num_rows
    if num_guests == 0:
        raise UserError(
            f"partners={name} needs rows beyond the batch, which mixlab.data.ImageDataModule("
            f'guests="{name}") loads, and here are none; use that, or permutation'
        )
    return num_rows + (np.arange(num_rows) + column) % num_guests


def same_class(images: Tensor, targets: Tensor, rng: Generator, num_rows: int) -> np.ndarray:
    """Uniform among the other rows of the same class (largest target); waits for a GPU."""
    labels = classes(targets, "partners=same_class")
    return _uniform(labels[:num_rows, None] == labels, rng)


def other_class(images: Tensor, targets: Tensor, rng: Generator, num_rows: int) -> np.ndarray:
    """Uniform among the rows of the other classes (largest target); waits for a GPU."""
    labels = classes(targets, "partners=other_class")
    warn_of_one_class(labels, "other_class")
    return _uniform(labels[:num_rows, None] != labels, rng)


def nearest(
    images: Tensor, targets: Tensor, rng: Generator, num_rows: int, column: int = 0
) -> np.ndarray:
    """The other row at the smallest Euclidean distance, pixel by pixel; waits for a GPU.

    A row's second partner is the second nearest, and the row itself where there are no more.
    """
    return by_distance(images, num_rows, column)


def farthest(
    images: Tensor, targets: Tensor, rng: Generator, num_rows: int, column: int = 0
) -> np.ndarray:
    """The row at the largest Euclidean distance, pixel by pixel; waits for a GPU.

    A row's second partner is the second farthest, and the row itself where there are no more.
    """
    return by_distance(images, num_rows, column, far=True)


def by_distance(features: Tensor, num_rows: int, column: int, far: bool = False) -> np.ndarray:
    """(num_rows,) the row at the `column`-th smallest or largest distance in features (R, ...)."""
    flat = features.detach().flatten(1).to(torch.promote_types(features.dtype, torch.float32))
    flat = flat - flat.mean(0)  # or, by matrix products, rows far from 0 would all be equally far
    distance = torch.cdist(flat[:num_rows], flat)
    distance = -distance if far else distance
    if distance.shape[1] > 1:
        distance.fill_diagonal_(float("inf"))
    order = distance.argsort(dim=1, stable=True)  # the row itself last
    return order[:, min(column, order.shape[1] - 1)].cpu().numpy()


_IN_ORDER = (cyclic, guests, nearest, farthest, reverse)  # draw nothing, and take the column
_PARTNER_RULES: dict[str, PartnerRule] = {
    "permutation": permutation,
    "derangement": derangement,
    "cyclic": cyclic,
    "same_class": same_class,
    "other_class": other_class,
    "nearest": nearest,
    "farthest": farthest,
    "reverse": reverse,
    # The data module loads them from another order of the same data, or from any of its rows.
    "second_pass": partial(guests, name="second_pass"),
    "dataset": partial(guests, name="dataset"),
    "across_ranks": permutation,  # of the rows of all ranks, see `shared_permutations`
    "by_method": permutation,  # never asked: the method pairs the rows itself
}
ACROSS_RANKS = "across_ranks"
BEYOND_THE_BATCH = ("second_pass", "dataset", ACROSS_RANKS)
BY_METHOD = "by_method"
CONFUSABLE = "confusable"
NETWORK_RULES = ("nearest_features", "farthest_features", CONFUSABLE)  # of `network_partners`


def rule_from(spec: Any) -> PartnerRule:
    """The rule of a config: its name, or any callable of the same signature.

    A rule that asks the network raises at its first draw until `bind_rule` gave it one.
    """
    if callable(spec):
        return cast(PartnerRule, spec)
    if isinstance(spec, str) and spec in _PARTNER_RULES:  # first, since each batch asks
        return _PARTNER_RULES[spec]
    one_of(*_PARTNER_RULES, *NETWORK_RULES).but("choose one").check("partners", spec)
    return partial(_without_network, spec)


def _without_network(name: str, *_: Any) -> np.ndarray:
    raise UserError(
        f"partners={name} asks the network in training, and there is none here; use another rule, "
        "or mixlab.mixing.network_partners.bind_rule in a loop of your own"
    )


def drawn_columns(
    rule: PartnerRule, images: Tensor, targets: Tensor, rng: Generator, num_rows: int, count: int
) -> np.ndarray:
    """(num_rows,) partners by a rule; (num_rows, count) for two and more.

    A method of none gets one, too, so that it shares the draws before its own with other methods.
    Each column is drawn independently; a rule that draws nothing (`cyclic`, `nearest`, ...)
    gives the next partner in its order instead.
    """
    if count <= 1:
        return rule(images, targets, rng, num_rows)
    if hasattr(rule, "columns"):  # all of them cost it what one does
        columns = rule.columns(images, targets, rng, num_rows, count)  # pyright: ignore
        return np.stack(columns, axis=1)
    in_order = getattr(rule, "func", rule) in _IN_ORDER
    orders = [[column] if in_order else [] for column in range(count)]
    return np.stack([rule(images, targets, rng, num_rows, *order) for order in orders], axis=1)


def shared_permutations(address: Address, num_rows: int, count: int, position: int) -> np.ndarray:
    """(num_rows,) partners in a batch of all ranks together; (num_rows, count) for two and more.

    The same on every rank of one batch.
    """
    rng = stream(address._replace(rank=position), Purpose.PARTNERS)
    rows = torch.empty(num_rows, 0, device="cpu")
    return drawn_columns(permutation, rows, rows, rng, num_rows, count)


def partner_columns(
    partners: np.ndarray | None, images: Tensor, rng: Generator, count: int = 1
) -> np.ndarray:
    """(B, count) partners from what a method was given: None, (B,) or at least `count` columns.

    None draws `count` permutations of all rows, one at least. Raises ValueError for another
    shape or dtype.
    """
    if partners is None:
        return np.stack([rng.permutation(images.shape[0]) for _ in range(max(1, count))], axis=1)
    if partners.dtype != np.int64:
        raise UserError(f"partners must be int64 row numbers, got {partners.dtype}; convert them")
    columns = partners[:, None] if partners.ndim == 1 else partners
    if columns.ndim != 2 or columns.shape[1] < count:
        raise UserError(f"partners must be (B, {count}), got shape {partners.shape}; add columns")
    return columns[:, :count]


def classes(targets: Tensor, asks: str, remedy: str = "use partners=permutation") -> np.ndarray:
    """int64 (R,) the class with the largest target of each row; `asks` is who needs to know it.

    Raises ValueError for targets that are not (R, C), such as segmentation masks, and for rows of
    several labels.
    """
    if targets.ndim != 2:
        shape = tuple(targets.shape)
        raise UserError(f"{asks} needs one class a row, got targets of shape {shape}; {remedy}")
    targets = targets.cpu()  # the one wait
    labels = (targets >= 1).sum(1)
    if labels.numel() and labels.max() > 1:
        row = int(labels.argmax())
        raise UserError(
            f"{asks} needs one class a row, and row {row} has {int(labels[row])} labels; {remedy}"
        )
    return targets.argmax(1).numpy()


def warn_of_one_class(labels: np.ndarray, rule: str) -> None:
    """Say so where no row of `labels` (R,) has one of another class; a single row has none either.

    Python shows a warning once for the line that it comes from.
    """
    if len(labels) > 1 and (labels == labels[0]).all():
        warnings.warn(
            f"partners={rule} found one class alone in a batch, which stays unchanged; shuffle the "
            "rows, or use larger batches",
            category=Caution,
            stacklevel=1,
        )


def _uniform(eligible: np.ndarray, rng: Generator) -> np.ndarray:
    """One eligible column of each row of `eligible` (B, R) bool other than its own, or its own."""
    scores = rng.random(eligible.shape)
    scores[~eligible] = -1.0
    np.fill_diagonal(scores, -0.5)  # below every eligible row, above all others
    return scores.argmax(1)
