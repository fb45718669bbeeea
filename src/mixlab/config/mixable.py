"""Refuse a method that cannot mix the rows of the data, before there is a run folder.

Training refuses it too, and in the same words, but a sweep would have made a folder for each run by
then. Only what is certain is refused here: rows whose shape the configuration tells, and methods of
ours. A user's own method is called in training alone, where its network and its device are.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mixlab.config.allowlist import targets
from mixlab.config.build import build, plain
from mixlab.config.checks import ranks_of
from mixlab.config.network_fits import check_features, check_network, mixes_input
from mixlab.config.row_shapes import RowShape, row_shape
from mixlab.errors import UserError

MOST_MEASURED = 2**18  # numbers in a row: larger ones take seconds and a lot of memory
OF_ONE_CLASS = ("AutoMix", "BothClasses")  # methods that need one class a row
OF_SEVERAL = "mixlab.models.MultiLabelClassifier"
TRIAL_ROWS, TRIAL_SIDE = 2, 16  # rows small enough that a trial takes no time


@dataclass(frozen=True)
class Asked:
    """What training asks of a method.

    Attributes:
        method: its node, as JSON.
        partners: of `mixing`.
        strength: of `mixing`; None where only the training can tell what is reached.
        is_called: with rows of the data.
        shape: of a row.
        batch_rows: of one process.
    """

    method: str
    partners: str
    strength: float | None
    is_called: bool
    shape: RowShape
    batch_rows: int


def check_mixable(cfg: DictConfig) -> None:
    """Raise UserError if training would: for the rows, the strength, or a network of ours."""
    if cfg.get("mixing") is None:
        return
    mixing = plain(cfg.mixing)
    check_one_class(cfg, targets(mixing["method"]))
    check_shape(cfg, mixing)
    check_network(cfg, mixing)
    if mixes_features(mixing) and is_ours(mixing) and calls(mixing):
        check_features(cfg, mixing)


def check_shape(cfg: DictConfig, mixing: dict[str, Any]) -> None:
    """Raise UserError if the method cannot mix the rows, or not so much of them."""
    shape = row_shape(cfg.data) if is_ours(mixing) else None
    if shape is None or cfg.data.get("batch_size") is None:
        return
    partners = mixing.get("partners", "permutation")
    asked = Asked(
        method=json.dumps(mixing["method"]),
        partners=partners,
        strength=None if mixes_features(mixing) else mixing.get("strength"),
        is_called=is_called(mixing),
        shape=shape,
        batch_rows=rows_at_once(partners, cfg),
    )
    if (sentence := why_not_mixable(asked)) is not None:
        raise UserError(sentence)


def check_one_class(cfg: DictConfig, parts: Iterable[str]) -> None:
    """Raise UserError if a part of the method needs one class a row, and the model learns several.

    Such a model is refused for other data, so that these have several.
    """
    names = [each.rpartition(".")[2] for each in parts if each.startswith("mixlab.mixing.")]
    asks = next((name for name in names if name in OF_ONE_CLASS), None)
    if asks is not None and OmegaConf.select(cfg, "model._target_") == OF_SEVERAL:
        raise UserError(
            f"{asks} needs one class a row, and {OF_SEVERAL} learns several; use mixing=cutmix"
        )


def is_ours(mixing: dict[str, Any]) -> bool:
    """Whether everything that is called is ours, and no network is loaded for it."""
    callback, parts = str(mixing["_target_"]), targets(mixing["method"])
    return callback.startswith("mixlab.callbacks.") and all(
        each.startswith("mixlab.mixing.") for each in parts
    )


def mixes_features(mixing: dict[str, Any]) -> bool:
    """Whether a network's features are mixed, whose shapes only the network tells."""
    return mixing["_target_"].endswith(".HiddenMixingCallback") and not mixes_input(mixing)


def is_called(mixing: dict[str, Any]) -> bool:
    """Whether rows of the data reach the method, whatever their number and class."""
    return calls(mixing) and not mixes_features(mixing)


def calls(mixing: dict[str, Any]) -> bool:
    """Whether rows reach the method, or their features, whatever their number and class."""
    lets_through = mixing.get("probability", 1) > 0 and mixing.get("strength") != 0
    every_row = isinstance(mixing.get("gate", ""), str) and not mixing.get("class_probability")
    return lets_through and every_row


def rows_at_once(partners: str, cfg: DictConfig) -> int:
    """Rows of a batch among which partners are drawn."""
    from mixlab.mixing.partners import ACROSS_RANKS

    ranks = 1 if partners == ACROSS_RANKS else ranks_of(cfg)
    return -(-cfg.data.batch_size // ranks)


@lru_cache(maxsize=4096)  # arms of a sweep differ in much that is not asked here
def why_not_mixable(asked: Asked) -> str | None:
    """The sentence with which training would refuse; None where it would not, or may not."""
    method = build(json.loads(asked.method))
    try:
        if asked.strength is not None and prod(asked.shape) <= MOST_MEASURED:
            check_reached(method, asked, asked.strength)
        if asked.is_called:
            check_rows(method, asked)
    except UserError as error:
        return str(error)
    return None


def check_reached(method: Any, asked: Asked, strength: float) -> None:
    """Raise UserError if the method cannot replace so much; most strengths are far from that."""
    from mixlab.mixing.pairing import chance_of_itself
    from mixlab.mixing.strength import check_reach

    itself = chance_of_itself(asked.partners, asked.batch_rows, method.num_partners)
    if strength > surely(asked.method, asked.shape, itself):
        check_reach(strength, method, most(asked.method, asked.shape, itself))


@lru_cache(maxsize=4096)
def surely(method: str, shape: RowShape, itself: float) -> float:
    """A strength that the method reaches for certain; a sweep has the same for all its seeds."""
    from mixlab.mixing.strength import surely_reached

    return surely_reached(build(json.loads(method)), shape, itself)


@lru_cache(maxsize=4096)
def most(method: str, shape: RowShape, itself: float) -> float:
    """The largest strength that a training may measure; shared in the same way.

    A method that looks at pictures may replace more of those of the training than of noise.
    """
    from mixlab.mixing.given_maps import at_its_most
    from mixlab.mixing.strength import mixed_share

    of_noise = build(json.loads(method))
    peaked = at_its_most(of_noise)
    either = [of_noise] if peaked == of_noise else [of_noise, peaked]
    return max(mixed_share(each, shape, itself) for each in either)


def check_rows(method: Any, asked: Asked) -> None:
    """Raise UserError if the method takes no rows of as many axes.

    Small rows are tried first. Where it refuses them, it is asked about those of the data: a part
    of a picture may be too large for small ones, and the sentence names the shape of a batch.
    """
    from mixlab.mixing.partners import ACROSS_RANKS, BEYOND_THE_BATCH

    guests = asked.partners in BEYOND_THE_BATCH and asked.partners != ACROSS_RANKS
    small = tuple(min(side, TRIAL_SIDE) for side in asked.shape)
    for each in drawn_from(method):
        try:
            draw_once(each, (TRIAL_ROWS, *small))
        except UserError:
            draw_once(each, (asked.batch_rows * (1 + guests), *asked.shape))


def drawn_from(method: Any) -> list[Any]:
    """The methods that a method chooses from or applies, as far as it does; else itself."""
    parts = getattr(method, "methods", None)
    if parts is None:
        return [method]
    weights = getattr(method, "weights", None) or [1] * len(parts)
    return [
        each
        for part, weight in zip(parts, weights, strict=True)
        if weight > 0
        for each in drawn_from(part)
    ]


def draw_once(method: Any, shape: RowShape) -> None:
    """Draw for rows that take no memory; nothing where only a network could say what to draw."""
    import numpy as np
    import torch

    from mixlab.mixing.binding import needs_network
    from mixlab.mixing.given_maps import without_network

    bare = without_network(method, torch.Generator().manual_seed(0))
    if not needs_network(bare):
        rows = torch.zeros(()).expand(shape)
        bare(rows, torch.eye(len(rows), 2), np.random.default_rng(0))
