"""What a config hands over wrongly is named, with the remedy."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import pytest
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from mixlab.config.keys import config_dir
from mixlab.mixing import (
    AttentiveMix,
    Concat,
    CutMix,
    Cutout,
    CutThumbnail,
    FMix,
    GMix,
    GridMix,
    GuidedMixup,
    HMix,
    MixedConcat,
    Mixup,
    MixupMany,
    Mosaic,
    OneOf,
    PatchMix,
    Policy,
    Random2x2,
    ResizeMix,
    Ricap,
    SaliencyMix,
    Sequence,
    SmoothMix,
    StackMix,
    VHMixup,
)
from mixlab.mixing.methods import ManifoldMixup
from mixlab.mixing.methods.published import PublishedCutMix
from mixlab.mixing.saliency import ActivationMap, SpectralResidual

NAN, INFINITE = float("nan"), float("inf")
NOT_POSITIVE = [0, -1, "0.2", None, True, NAN, INFINITE, [1.0], {"a": 1}]
NOT_A_FLAG = ["true", None, 1, 0, []]
NOT_A_FRACTION = [-0.1, 1.1, "0.5", None, True, NAN, [0.5]]
NOT_A_COUNT = [0, -1, 2.0, "3", None, True, [3]]
NOT_A_SPAN = [0.5, [0.5], [0.6, 0.4], [-0.1, 0.5], [0.1, 3], "0.1", None, ["a", 1], [0, NAN]]
PAIR = [Mixup(1.0), CutMix(1.0)]

WRONG: list[tuple[Callable[..., Any], str, list[Any]]] = [
    (Mixup, "alpha", NOT_POSITIVE),
    (partial(Mixup, 1.0), "per_row", NOT_A_FLAG),
    (MixupMany, "alpha", NOT_POSITIVE),
    (partial(MixupMany, 1.0), "sources", [1, 0, -1, 2.0, "3", None, True, [3]]),
    (partial(MixupMany, 1.0), "per_row", NOT_A_FLAG),
    (CutMix, "alpha", NOT_POSITIVE),
    (partial(CutMix, 1.0), "per_row", NOT_A_FLAG),
    (partial(PublishedCutMix, 1.0), "min_side", [-1, 2, "0", None, True, 1.0]),
    (Cutout, "side_fraction", [0, *NOT_A_FRACTION]),
    (partial(Cutout, 0.5), "per_row", NOT_A_FLAG),
    (SaliencyMix, "alpha", NOT_POSITIVE),
    (SaliencyMix, "saliency", ["spectral", None, 1, SpectralResidual]),
    (AttentiveMix, "saliency", ["features", None, 1, ActivationMap]),
    (AttentiveMix, "num_cells", [0, -1, 2.0, "6", None, True]),
    (AttentiveMix, "grid", [0, -1, 2.0, "7", None, True]),
    (GuidedMixup, "saliency", ["spectral", None, 1, SpectralResidual]),
    (GuidedMixup, "smoothing", [-1, "3", None, True, NAN, INFINITE]),
    (SpectralResidual, "side", [0, 6.4, "64", None, True]),
    (SpectralResidual, "smoothing", [-1, "2.5", None, True, NAN, INFINITE]),
    *[(method, "alpha", NOT_POSITIVE) for method in (FMix, GridMix, PatchMix, Ricap, Concat)],
    *[(method, "alpha", NOT_POSITIVE) for method in (HMix, GMix, VHMixup)],
    *[(method, "alpha", NOT_POSITIVE) for method in (MixedConcat, Random2x2)],
    *[(partial(method, 1.0), "per_row", NOT_A_FLAG) for method in (FMix, GridMix, PatchMix)],
    *[(partial(method, 1.0), "per_row", NOT_A_FLAG) for method in (Ricap, Concat, HMix)],
    *[(partial(method, 1.0), "per_row", NOT_A_FLAG) for method in (GMix, VHMixup)],
    *[(partial(method, 1.0), "per_row", NOT_A_FLAG) for method in (MixedConcat, Random2x2)],
    (partial(Random2x2, 1.0), "center", NOT_A_SPAN),
    *[(method, "per_row", NOT_A_FLAG) for method in (SmoothMix, ResizeMix, Mosaic, CutThumbnail)],
    (partial(FMix, 1.0), "decay", NOT_POSITIVE),
    (partial(FMix, 1.0), "max_soft", NOT_A_FRACTION),
    (partial(GridMix, 1.0), "cells", NOT_A_COUNT),
    (partial(PatchMix, 1.0), "patch_size", NOT_A_COUNT),
    (partial(HMix, 1.0), "ratio", NOT_A_FRACTION),
    (SmoothMix, "sigma", [[0, 1], *NOT_A_SPAN]),
    (ResizeMix, "scale", [[0, 1], *NOT_A_SPAN]),
    (Mosaic, "center", NOT_A_SPAN),
    (CutThumbnail, "side_fraction", [0, *NOT_A_FRACTION]),
    (CutThumbnail, "of_itself", NOT_A_FLAG),
    (StackMix, "side_by_side", NOT_A_FLAG),
    (partial(Concat, 1.0), "side_by_side", NOT_A_FLAG),
    (OneOf, "methods", [[], "Mixup", None, [1], Mixup(1.0), [None]]),
    (partial(OneOf, PAIR), "weights", [[1], [0, 0], [-1, 2], "11", 3, [1, None], [1, NAN]]),
    (partial(OneOf, PAIR), "per_row", NOT_A_FLAG),
    (Sequence, "methods", [[], "Mixup", None, [1], Mixup(1.0)]),
    (Policy, "probability", NOT_A_FRACTION),
    (Policy, "gate", ["rows", None, 5, True, {"every": 0}, {"every": 2.5}, {"each": 5}, {}]),
    (Policy, "schedule", ["step", None, 1, {}, {"off": 0.5}, {"off_after": 1, "b": 2}]),
    (Policy, "partners", ["self", None, 3, ["permutation"]]),
]


@pytest.mark.parametrize(
    ("build", "knob", "value"),
    [(build, knob, value) for build, knob, values in WRONG for value in values],
)
def test_a_wrong_value_is_named_with_the_remedy(
    build: Callable[..., Any], knob: str, value: Any
) -> None:
    with pytest.raises(ValueError) as caught:
        build(**{knob: value})
    message = str(caught.value)
    assert message.startswith(f"{knob} must be ") and f"got {value!r}" in message
    assert "\n" not in message


@pytest.mark.parametrize("value", [0, 1.5, "0.9", None])
def test_a_wrong_fraction_of_a_schedule_is_named(value: Any) -> None:
    with pytest.raises(ValueError, match=r"off_after must be a number in \(0, 1\].*; 0.9 mixes"):
        Policy(schedule={"off_after": value})


def test_whole_numbers_and_yaml_lists_are_as_good() -> None:
    assert Mixup(1).alpha == 1
    assert OneOf((Mixup(1), CutMix(1)), weights=(1, 0)).weights == (1, 0)
    assert Policy(1, gate={"every": 5}, schedule={"off_after": 1}).probability == 1


FILES = sorted((config_dir() / "mixing").glob("[!_]*.yaml"))


def not_in(node: DictConfig) -> list[str]:
    """The knobs of a node's method, and of those in it, that are none of its keys.

    `network`, which a callback gives, is not shown, and a saliency's are given with a plus.
    """
    kind = get_class(node._target_)
    missing = [f"{kind.__name__}.{each.name}" for each in fields(kind)  # pyright: ignore
               if each.repr and each.name not in node]  # fmt: skip
    inner = [*node.get("methods", []), *([node.method] if "method" in node else [])]
    return missing + [knob for part in inner for knob in not_in(part)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_knob_of_a_method_is_a_key_of_its_file(file: Any) -> None:
    """Or `mixing.method.KNOB=...` would be refused as unknown."""
    method: Any = OmegaConf.load(file).method  # pyright: ignore
    assert method._target_ is None or not not_in(method)


def test_the_usual_alpha_is_that_of_the_method() -> None:
    with pytest.raises(ValueError, match="got 0; 0.2 is usual; probability=0 mixes nothing"):
        Mixup(0)
    with pytest.raises(ValueError, match="got 0; 2.0 is the paper's; probability=0 mixes nothing"):
        ManifoldMixup(0)
    assert OmegaConf.load(config_dir() / "mixing" / "manifold_mixup.yaml")["method"]["alpha"] == 2
