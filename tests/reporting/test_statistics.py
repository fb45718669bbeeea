"""Statistics against independent formulas and against simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from scipy import stats as scipy_stats

from mixlab.reporting.statistics import (
    CLAIM,
    EXACT,
    Difference,
    detectable_effect,
    holm,
    is_equivalent,
    paired_difference,
    sign_flip,
    summarize,
    verdict,
)

QUANTILES = {3: 4.302653, 5: 2.776445, 6: 2.570582, 10: 2.262157}  # of t at 97.5 %, n - 1 degrees


def pairs(n, shift=0.0, seed=0):
    rng = np.random.default_rng([seed, n])
    baseline = rng.normal(0.9, 0.01, n)
    return baseline + shift + rng.normal(0, 0.01, n), baseline


@pytest.mark.parametrize("n", QUANTILES)
def test_interval_is_the_textbook_one(n):
    arm, baseline = pairs(n)
    deltas = [a - b for a, b in zip(arm, baseline, strict=True)]
    mean = sum(deltas) / n
    sd = math.sqrt(sum((d - mean) ** 2 for d in deltas) / (n - 1))
    half = QUANTILES[n] * sd / math.sqrt(n)
    found = paired_difference(arm, baseline)
    assert found.n == n
    assert found.mean == pytest.approx(mean, abs=1e-12)
    assert found.sd == pytest.approx(sd, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half), abs=1e-7)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_p_value_is_the_tail_of_t(n):
    """By the incomplete beta function: P(|T| > t) = I(nu / (nu + t^2); nu / 2, 1 / 2)."""
    arm, baseline = pairs(n, shift=0.005)
    found = paired_difference(arm, baseline)
    t, nu = found.mean / (found.sd / math.sqrt(n)), n - 1
    assert found.p == pytest.approx(special.betainc(nu / 2, 0.5, nu / (nu + t * t)), rel=1e-9)


def test_better_and_worse_are_rarely_said_of_equal_arms():
    """Holm holds the chance of any false claim among three arms below 5 %."""
    rng, trials, false_claims = np.random.default_rng(7), 400, 0
    for _ in range(trials):
        arms = rng.normal(size=(4, CLAIM))
        p_values = scipy_stats.ttest_rel(arms[1:], arms[0], axis=1).pvalue
        differences = [paired_difference(arm, arms[0]) for arm in arms[1:]]
        np.testing.assert_allclose([d.p for d in differences], p_values)
        words = [
            verdict(d, p, higher_is_better=True)
            for d, p in zip(differences, holm(p_values), strict=True)
        ]
        false_claims += any(word in ("better", "worse") for word in words)
    assert 0 < false_claims / trials <= 0.05 + 0.033


@pytest.mark.parametrize("n", [2, 3, 5, 6, 10])
def test_sign_flip_is_exact(n):
    deltas = np.subtract(*pairs(n, shift=0.006))
    flips = np.array(list(itertools.product((1, -1), repeat=n))) @ deltas
    expected = np.mean(np.abs(flips) >= abs(deltas.sum()) - 1e-12)
    assert sign_flip(deltas) == pytest.approx(expected)


@pytest.mark.parametrize("n", [3, 5, 6])
def test_smallest_sign_flip_p(n):
    assert sign_flip(np.arange(1.0, n + 1)) == 2 / 2**n
    assert (2 / 2**n < 0.05) == (n >= CLAIM)


@pytest.mark.parametrize("n", [2, 3, 6, 14, 15, 40])
@pytest.mark.parametrize("kind", ["any", "rounded", "same sign", "shifted"])
def test_sign_flip_is_scipys_to_the_bit(n, kind):
    deltas = np.random.default_rng(n).normal(1 if kind == "shifted" else 0, 1, n)
    deltas = np.round(deltas, 1) if kind == "rounded" else deltas
    deltas = np.abs(deltas) if kind == "same sign" else deltas
    expected = scipy_stats.permutation_test(
        (deltas,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=EXACT, rng=np.random.default_rng(n),
    )  # fmt: skip
    assert sign_flip(deltas) == float(expected.pvalue)


def test_sign_flip_of_many_pairs_is_drawn_and_close_to_the_t_test():
    arm, baseline = pairs(40, shift=0.005)
    found = paired_difference(arm, baseline)
    assert found.p_sign_flip == sign_flip(arm - baseline)
    assert found.p_sign_flip == pytest.approx(found.p, abs=0.01)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_by_its_definition(p_values):
    """The i-th smallest of m becomes the largest of (m - j) p_j over j <= i, and at most 1."""
    m, expected, largest = len(p_values), {}, 0.0
    for rank, place in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        largest = max(largest, (m - rank) * p_values[place])
        expected[place] = min(largest, 1.0)
    np.testing.assert_allclose(holm(p_values), [expected[i] for i in range(m)])


def test_holm_leaves_out_what_was_not_tested():
    assert holm([0.01, math.nan, 0.04]) == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)
    assert holm([math.nan]) == pytest.approx([math.nan], nan_ok=True)
    assert holm([]) == []


@pytest.mark.parametrize("n", [3, 6, 12])
def test_detectable_effect_is_found_four_times_in_five(n):
    draws = np.random.default_rng(n).normal(detectable_effect(n), 1.0, (8000, n))
    found = scipy_stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.015)


@given(
    st.lists(st.integers(0, 1000), min_size=3, max_size=8, unique=True),
    st.randoms(use_true_random=False),
    st.integers(-500, 500),
)
def test_comparing_is_antisymmetric_and_blind_to_a_common_shift(values, random, shift):
    baseline = random.sample(values, len(values))
    there, back = paired_difference(values, baseline), paired_difference(baseline, values)
    shifted = paired_difference(np.add(values, shift), np.add(baseline, shift))
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    for name in ("mean", "sd", "low", "high", "p", "p_sign_flip", "correlation"):
        expected = pytest.approx(getattr(there, name), abs=1e-9, nan_ok=True)
        assert getattr(shifted, name) == expected
    assert there.p == pytest.approx(back.p, nan_ok=True)
    assert there.correlation == pytest.approx(back.correlation, nan_ok=True)


@pytest.mark.parametrize(
    ("arm", "baseline", "word"),
    [
        ([], [], "no pairs"),
        ([0.9], [0.8], "one pair"),
        ([0.91, 0.81, 0.7], [0.90, 0.80, 0.69], "too few pairs"),
        ([0.5] * 6, [0.5] * 6, "no difference"),
        ([0.75] * 6, [0.5] * 6, "no spread"),
        ([0.9, 0.8], [0.9, 0.8], "too few pairs"),
    ],
)
def test_what_cannot_be_tested_has_no_p_and_no_claim(arm, baseline, word):
    found = paired_difference(arm, baseline)
    assert math.isnan(found.p)
    assert verdict(found, found.p, higher_is_better=True) == word


@pytest.mark.parametrize(
    ("n", "mean", "p", "higher", "word"),
    [
        (6, 0.01, 0.01, True, "better"),
        (6, 0.01, 0.01, False, "worse"),
        (6, -0.01, 0.01, True, "worse"),
        (6, -0.01, 0.01, False, "better"),
        (5, 0.01, 0.01, True, "leans better"),
        (5, -0.01, 0.01, True, "leans worse"),
        (5, 0.01, 0.2, True, "unclear"),
        (6, 0.01, 0.2, True, "no evidence"),
        (6, 0.01, 0.05, True, "no evidence"),
    ],
)
def test_verdict(n, mean, p, higher, word):
    difference = Difference(n, mean, sd=0.01, low=-0.1, high=0.1, p=p)
    assert verdict(difference, p, higher_is_better=higher) == word


def test_equivalence_is_two_one_sided_tests():
    arm, baseline = pairs(12, shift=0.001)
    for margin in (0.001, 0.004, 0.006, 0.008, 0.02):
        deltas = arm - baseline
        above = scipy_stats.ttest_1samp(deltas, -margin, alternative="greater").pvalue
        below = scipy_stats.ttest_1samp(deltas, margin, alternative="less").pvalue
        assert is_equivalent(arm, baseline, margin) == (max(above, below) < 0.05)
    wide, narrow = (paired_difference(arm, baseline, margin) for margin in (0.02, 0.001))
    assert verdict(wide, 0.5, higher_is_better=True) == "equivalent"
    assert verdict(narrow, 0.5, higher_is_better=True) == "no evidence"


def test_summary():
    assert summarize([]).n == 0
    assert summarize([0.5]).mean == 0.5 and math.isnan(summarize([0.5]).sd)
    found = summarize([1.0, 2.0, 4.0])
    assert (found.n, found.mean, found.sd) == pytest.approx((3, 7 / 3, math.sqrt(7 / 3)))


def test_correlation_needs_three_pairs_and_spread():
    assert math.isnan(paired_difference([1.0, 2.0], [2.0, 1.0]).correlation)
    assert math.isnan(paired_difference([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]).correlation)
    assert paired_difference([1.0, 2.0, 4.0], [2.0, 4.0, 8.0]).correlation == pytest.approx(1.0)
