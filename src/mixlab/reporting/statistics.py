"""Statistics of a controlled comparison: runs paired by seed, the run being the unit.

A t-interval on the paired differences is the headline: over three seeds a bootstrap that is
called 95 % covers 70 %, the t-interval 95 %. Pairing removes what both arms share and shows it
(the correlation across seeds); it promises no power.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

LEVEL, ALPHA = 0.95, 0.05  # of every interval, and of every test
CLAIM = 6  # pairs from which a two-sided sign-flip test can reach 5 %: 2 / 2**6
EXACT = 2**14  # sign flips: all of them up to here, else as many drawn
NAN = math.nan


@dataclass(frozen=True)
class ArmSummary:
    """Runs of one arm."""

    n: int
    mean: float = NAN
    sd: float = NAN  # with n - 1; NaN for a single run


@dataclass(frozen=True)
class Difference:
    """An arm less its baseline over `n` seeds that both have; NaN where `n` does not allow it."""

    n: int
    mean: float = NAN
    sd: float = NAN
    low: float = NAN  # ends of the t-interval
    high: float = NAN
    p: float = NAN  # two-sided paired t-test
    p_sign_flip: float = NAN  # two-sided, of the mean
    correlation: float = NAN  # of the two arms across seeds
    detectable: float = NAN  # difference that a paired t-test of this n and sd finds 8 times in 10
    is_equivalent: bool = False  # within the margin asked about


def summarise(values: Sequence[float]) -> ArmSummary:
    """Mean and standard deviation over runs."""
    if not len(values):
        return ArmSummary(0)
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else NAN
    return ArmSummary(len(values), float(np.mean(values)), sd)


def paired_difference(
    arm: Sequence[float], baseline: Sequence[float], margin: float | None = None
) -> Difference:
    """Compare two arms; the i-th values of both are of one seed.

    Args:
        margin: a difference within +-margin counts as equivalent, in the values' own unit.
    """
    x, y = np.asarray(arm, dtype=float), np.asarray(baseline, dtype=float)
    deltas = x - y
    n = len(deltas)
    if n < 2:
        return Difference(n, mean=float(deltas[0]) if n else NAN)
    mean, sd = float(deltas.mean()), float(deltas.std(ddof=1))
    if sd <= 1e-12 * max(np.abs(x).max(), np.abs(y).max(), 1e-300):
        return Difference(n, mean, 0.0, mean, mean)  # no spread: nothing to test it against
    test = stats.ttest_rel(x, y)
    low, high = test.confidence_interval(LEVEL)
    return Difference(
        n=n, mean=mean, sd=sd, low=float(low), high=float(high), p=float(test.pvalue),
        p_sign_flip=sign_flip(deltas),
        correlation=correlate(x, y),
        detectable=detectable_effect(n) * sd,
        is_equivalent=margin is not None and is_equivalent(x, y, margin),
    )  # fmt: skip


def sign_flip(deltas: np.ndarray) -> float:
    """Two-sided p of the mean when each difference may as well have the other sign."""
    found = stats.permutation_test(
        (deltas,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=EXACT, rng=np.random.default_rng(len(deltas)),
    )  # fmt: skip
    return float(found.pvalue)


def correlate(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation from three pairs on; NaN where one side does not vary."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return NAN
    return float(np.corrcoef(x, y)[0, 1])


@cache
def detectable_effect(n: int, power: float = 0.8) -> float:
    """The true difference, in standard deviations of it, that n pairs find with this power."""
    from statsmodels.stats.power import TTestPower

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the solver tells of steps that did not matter
        found = TTestPower().solve_power(nobs=n, alpha=ALPHA, power=power)
    return float(np.squeeze(found))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment over the arms of a comparison; NaN stays NaN and does not count.

    The same as statsmodels' `multipletests`, which collects garbage in each call: 0.1 s and more.
    """
    p = np.array(p_values, dtype=float)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    steps = p[order] * np.arange(len(order), 0, -1)
    p[order] = np.maximum.accumulate(steps).clip(max=1)
    return p.tolist()


def is_equivalent(x: np.ndarray, y: np.ndarray, margin: float) -> bool:
    """Two one-sided paired t-tests at 5 %: whether the true difference lies within +-margin."""
    from statsmodels.stats.weightstats import ttost_paired

    return bool(ttost_paired(x, y, -margin, margin)[0] < ALPHA)


def verdict(difference: Difference, p: float, *, higher_is_better: bool) -> str:
    """The words for a difference and its adjusted p; below `CLAIM` pairs they claim nothing."""
    if difference.n < 2:
        return "one pair" if difference.n else "no pairs"
    is_claim = difference.n >= CLAIM
    if difference.sd == 0:
        exact = "no spread" if difference.mean else "no difference"
        return exact if is_claim else "too few pairs"
    if p < ALPHA:
        better = (difference.mean > 0) == higher_is_better
        return f"{'' if is_claim else 'leans '}{'better' if better else 'worse'}"
    if not is_claim:
        return "unclear"
    return "equivalent" if difference.is_equivalent else "no evidence"
