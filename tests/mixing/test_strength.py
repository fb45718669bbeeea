"""The strength sets the mean mixed share of a row, whatever the method."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mixlab.errors import UserError
from mixlab.mixing import (
    Address,
    AttentiveMix,
    Blend,
    CutMix,
    Cutout,
    Method,
    Mixup,
    MixupMany,
    OneOf,
    PointMixup,
    Policy,
    PuzzleMix,
    SaliencyMix,
    Sequence,
    SnapMix,
)
from mixlab.mixing import strength as strength_module
from mixlab.mixing.network_partners import bind_rule
from mixlab.mixing.saliency import InputGradient, SpectralResidual
from mixlab.mixing.sample import Sample
from mixlab.mixing.strength import at_strength, check_strength, mixed_share, surely_reached

PICTURE, ROWS = (1, 24, 20), 32
CASES: dict[str, Method] = {
    "mixup": Mixup(0.2),
    "mixup of the batch": Mixup(0.2, per_row=False),
    "mixup of three": MixupMany(1.0, 3),
    "cutmix": CutMix(1.0),
    "cutmix of the batch": CutMix(0.5, per_row=False),
    "cutout": Cutout(0.7),
    "one of": OneOf([Mixup(1.0), CutMix(1.0)], weights=[1, 3], per_row=False),
    "sequence": Sequence([CutMix(1.0), Mixup(0.5)]),
}


def mixed_shares(policy: Policy, method: Method, batches: int = 300) -> np.ndarray:
    """(batches,) the mean of 1 - own content over the rows of a batch."""
    images, targets = torch.rand(ROWS, *PICTURE), torch.eye(ROWS)
    blends = (policy.draw(method, images, targets, Address(3, 0, 0, b)) for b in range(batches))
    return np.array([1 - float(blend.own_content.double().mean()) for blend in blends])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("partners", ["permutation", "derangement"])
def test_rows_are_replaced_as_far_as_the_strength_says(name: str, partners: str) -> None:
    method = CASES[name]
    policy = at_strength(Policy(partners=partners), method, 0.12, PICTURE, ROWS)
    found = mixed_shares(policy, method)
    spread = found.std(ddof=1) / np.sqrt(len(found))
    assert abs(found.mean() - 0.12) < 4 * spread + 0.12 * 0.01
    assert policy.partners == partners and 0 < policy.probability < 1


@pytest.mark.parametrize("name", ["mixup of three", "cutmix", "sequence"])
def test_the_most_that_can_be_reached_mixes_every_row(name: str) -> None:
    most = mixed_share(CASES[name], PICTURE, 1 / ROWS)
    assert at_strength(Policy(), CASES[name], most, PICTURE, ROWS).probability == 1
    with pytest.raises(UserError, match="cannot be reached"):
        at_strength(Policy(), CASES[name], most * 1.02, PICTURE, ROWS)
    assert at_strength(Policy(), CASES[name], 0, PICTURE, ROWS).probability == 0


@pytest.mark.parametrize(("rows", "itself"), [(2, 0.5), (4, 0.25), (64, 1 / 64)])
def test_a_permutation_makes_one_row_its_own_partner(rows: int, itself: float) -> None:
    shares = {
        name: at_strength(Policy(partners=name), Mixup(1.0), 0.2, PICTURE, rows).probability
        for name in ("permutation", "derangement")
    }
    assert shares["permutation"] == pytest.approx(0.2 / (0.5 * (1 - itself)))
    assert shares["derangement"] == pytest.approx(0.4)


@pytest.mark.parametrize("name", CASES)
def test_a_few_draws_say_what_is_surely_reached(name: str) -> None:
    """A bound, and one near enough that it spares the measurement of most strengths."""
    for side in (8, 20, 33):
        most = mixed_share(CASES[name], (2, side, 24), 1 / ROWS)
        sure = surely_reached(CASES[name], (2, side, 24), 1 / ROWS)
        assert 0.7 * most < sure < 0.97 * most or sure == most


class Opaque:
    """A method of the user's, whose draws for a batch cannot be made row by row."""

    num_partners = 1
    label_differs = None

    def __call__(self, images, targets, rng, partners=None) -> Blend:
        return CutMix(1.0, per_row=False)(images, targets, rng, partners)


def test_draws_of_the_batch_have_the_mean_of_draws_of_the_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = mixed_share(CutMix(1.0), PICTURE)
    assert mixed_share(CutMix(1.0, per_row=False), PICTURE) == expected
    monkeypatch.setattr(strength_module, "STANDARD_ERROR", 0.02)
    assert mixed_share(Opaque(), PICTURE) == pytest.approx(expected, rel=0.07)


def test_formulas_are_what_is_measured() -> None:
    class Unknown(MixupMany):
        mean_mixed = None  # pyright: ignore

    class UnknownPoints(PointMixup):
        mean_mixed = None  # pyright: ignore

    for method in (MixupMany(1.0, 2), MixupMany(0.3, 4)):
        unknown = Unknown(method.alpha, method.sources)
        assert mixed_share(unknown, PICTURE) == pytest.approx(method.mean_mixed, rel=0.02)
    assert mixed_share(UnknownPoints(0.4), (3, 6)) == pytest.approx(0.5, rel=0.02)
    assert mixed_share(Mixup(0.1), PICTURE) == mixed_share(PointMixup(3.0), PICTURE) == 0.5


def test_it_needs_no_network() -> None:
    """Nor does it change with the global generator."""
    at_peaks = SaliencyMix(1.0, saliency=InputGradient())
    assert mixed_share(at_peaks, PICTURE) == mixed_share(at_peaks, PICTURE)
    boxes = mixed_share(SnapMix(2.0), (3, 24, 24))
    assert boxes == pytest.approx(mixed_share(CutMix(2.0), (3, 24, 24)), rel=0.03)
    grid = AttentiveMix(num_cells=6, grid=6)
    assert mixed_share(grid, (3, 24, 24)) == pytest.approx(6 / 36)
    several = OneOf([PuzzleMix(), Sequence([grid, grid])], weights=[1, 2], per_row=False)
    expected = (0.5 + 2 * (1 - (5 / 6) ** 2)) / 3
    assert mixed_share(several, (3, 24, 24)) == pytest.approx(expected, rel=0.02)


def test_the_pictures_of_puzzlemix_change_places(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unknown(PuzzleMix):
        mean_mixed = None  # pyright: ignore

    monkeypatch.setattr(strength_module, "STANDARD_ERROR", 0.02)
    unknown = Unknown(grids=[2, 4], transport_cost=None, saliency=SpectralResidual())
    assert mixed_share(unknown, (1, 8, 8)) == pytest.approx(PuzzleMix().mean_mixed, rel=0.08)


class Looks:
    """A method of the user's that looks at pictures, and says nothing of it."""

    num_partners = 1
    label_differs = None

    def __call__(self, images, targets, rng, partners=None) -> Blend:
        return SaliencyMix(1.0)(images, targets, rng, partners)


def dots(rows: int = 256, classes: int = 6, **options: Any) -> Sample:
    """A bright square near the middle of each picture, on the dark."""
    images = torch.zeros(rows, *PICTURE)
    for row in range(rows):
        down, across = 9 + row % 3, 7 + row % 4
        images[row, :, down : down + 5, across : across + 5] = 1
    return Sample(images, torch.eye(classes)[torch.arange(rows) % classes], **options)


@pytest.mark.parametrize(
    "method",
    [SaliencyMix(1.0), Sequence([SaliencyMix(1.0), Mixup(0.5)]), Looks()],
)
def test_a_method_that_looks_is_measured_on_the_rows_of_the_training(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strength_module, "STANDARD_ERROR", 0.01)
    sample = dots()
    policy = at_strength(Policy(), method, 0.2, PICTURE, ROWS, lambda: sample)
    rows = torch.arange(ROWS)
    found = [
        1
        - float(
            policy.draw(
                method, sample.images[rows + ROWS * (k % 8)], torch.eye(ROWS), Address(5, 0, 0, k)
            ).own_content.mean()
        )
        for k in range(100)
    ]
    assert np.mean(found) == pytest.approx(0.2, rel=0.05)
    noise = at_strength(Policy(), method, 0.2, PICTURE, ROWS)
    assert noise.probability > 1.1 * policy.probability, "whose peaks are everywhere"


def test_rows_are_read_for_a_method_that_looks_alone() -> None:
    def never() -> Sample:
        raise AssertionError

    for method in (CutMix(1.0), Mixup(1.0), SnapMix(2.0), PuzzleMix()):
        policy = at_strength(Policy(), method, 0.1, PICTURE, ROWS, never)
        assert policy == at_strength(Policy(), method, 0.1, PICTURE, ROWS)


@pytest.mark.parametrize("partners", ["same_class", "other_class", "confusable"])
@pytest.mark.parametrize("method", [Mixup(1.0), Cutout(0.7)])
def test_rows_without_a_partner_count(method: Method, partners: str) -> None:
    sample, rows = dots(classes=6), 8
    policy = at_strength(Policy(partners=partners), method, 0.15, PICTURE, rows, lambda: sample)
    mixes = bind_rule(partners, torch.nn.Identity())
    policy, rng, found = replace(policy, partners=mixes), np.random.default_rng(0), []
    for number in range(2000):
        chosen = torch.from_numpy(rng.permutation(256)[:rows])
        blend = policy.draw(
            method, sample.images[chosen], sample.targets[chosen], Address(3, 0, 0, number)
        )
        found.append(1 - float(blend.own_content.mean()))
    assert np.mean(found) == pytest.approx(0.15, rel=0.04)


@pytest.mark.parametrize(
    ("targets", "figure"),
    [
        (torch.eye(6)[[0, 0, 1, 1, 2, 3, 4, 5]], "50% .* replace 0.25 of"),
        (torch.eye(8), "0% .* replace 0 of"),
    ],
)
def test_what_a_rule_leaves_out_of_reach_is_said_and_every_row_mixed(
    targets: torch.Tensor, figure: str
) -> None:
    policy, sample = Policy(partners="same_class"), Sample(torch.zeros(8, *PICTURE), targets)
    with pytest.warns(UserWarning, match=f"strength=0.3 .*=same_class: {figure}"):
        policy = at_strength(policy, Mixup(1.0), 0.3, PICTURE, 8, lambda: sample)
    assert policy.probability == 1


def test_a_schedule_multiplies() -> None:
    policy = at_strength(Policy(schedule="linear"), Mixup(1.0), 0.3, PICTURE, 1000)
    assert policy.rate(0.5) == pytest.approx(policy.rate(0) / 2)


@pytest.mark.parametrize(
    ("policy", "strength", "sentence"),
    [
        ({"probability": 0.5}, 0.3, "strength=0.3 sets the probability, .*probability=0.5 too"),
        ({"gate": {"every": 5}}, 0.3, "needs every row at the gate.*; use row"),
        ({"class_probability": {1: 0.5}}, 0.3, "mixing.class_probability both set"),
        ({"alpha_schedule": {"linear": [1, 2]}}, 0.3, "mixing.alpha_schedule both set"),
        ({}, 1.5, r"strength must be a number in \[0, 1\], or null, got 1.5"),
        ({}, "0.3", "strength must be a number"),
        (
            {},
            0.6,
            r"strength=0.6 cannot be reached: Mixup\(alpha=1.0\) replaces 0.5 .*other method",
        ),
    ],
)
def test_what_is_wrong_whatever_the_pictures_are(
    policy: dict[str, Any], strength: Any, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        check_strength(strength, Policy(**policy), Mixup(1.0))
    assert "\n" not in str(caught.value)


def test_the_sentence_says_what_can_be_reached() -> None:
    with pytest.raises(UserError) as caught:
        at_strength(Policy(), CutMix(1.0), 0.6, (3, 32, 32), 64)
    end = f"{int(mixed_share(CutMix(1.0), (3, 32, 32), 1 / 64) * 1000) / 1000:g}"
    assert str(caught.value) == (
        f"mixing.strength=0.6 cannot be reached: CutMix(alpha=1.0) replaces {end} of a row when "
        f"every row is mixed; use 0 to {end}, or another alpha"
    )
    at_strength(Policy(), CutMix(1.0), float(end), (3, 32, 32), 64)
    with pytest.raises(UserError, match="or another mixing.method.side_fraction or method"):
        at_strength(Policy(), Cutout(0.25), 0.2, (3, 32, 32), 64)
    check_strength(None, Policy(0.5), CutMix(1.0))
