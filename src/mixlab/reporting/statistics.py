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
EXACT = 2**14  # sign flips that are tried one by one; more are drawn
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


def summarise(values: Sequence[float]) -> ArmSummary:
    """Mean and standard deviation over runs."""
    if not len(values):
        return ArmSummary(0)
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else NAN
    return ArmSummary(len(values), float(np.mean(values)), sd)


def paired_difference(arm: Sequence[float], baseline: Sequence[float]) -> Difference:
    """Compare two arms; the i-th values of both are of one seed."""
    x, y = np.asarray(arm, dtype=float), np.asarray(baseline, dtype=float)
    deltas = x - y
    n = len(deltas)
    if n < 2:
        return Difference(n, mean=float(deltas[0]) if n else NAN)
    mean, sd = float(deltas.mean()), float(deltas.std(ddof=1))
    if sd <= 1e-12 * max(np.abs(x).max(), np.abs(y).max(), 1e-300):
        return Difference(n, mean, 0.0, mean, mean)  # no spread: nothing to test it against
    low, high = interval(deltas)
    return Difference(
        n=n, mean=mean, sd=sd, low=low, high=high,
        p=float(stats.ttest_rel(x, y).pvalue),
        p_sign_flip=sign_flip(deltas),
        correlation=correlate(x, y),
        detectable=detectable_effect(n) * sd,
    )  # fmt: skip


def interval(deltas: np.ndarray) -> tuple[float, float]:
    """The t-interval of the mean of n >= 2 values."""
    mean, n = float(deltas.mean()), len(deltas)
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * deltas.std(ddof=1) / math.sqrt(n))
    return mean - half, mean + half


def sign_flip(deltas: np.ndarray) -> float:
    """Two-sided p of the mean when each difference may as well have the other sign."""
    signs = _signs(len(deltas))
    means = np.abs(signs @ deltas)
    reached = means >= np.abs(deltas.sum()) * (1 - 1e-12)
    if 2 ** len(deltas) <= EXACT:
        return float(reached.mean())
    return float((1 + reached.sum()) / (1 + len(signs)))


@cache
def _signs(n: int) -> np.ndarray:
    """Every way to sign n numbers, or `EXACT` ways drawn from a fixed stream: (ways, n)."""
    if 2**n <= EXACT:
        return 1 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    return np.random.default_rng(n).choice([-1.0, 1.0], size=(EXACT, n))


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

    The i-th smallest of m becomes the largest of (m - j) p_j over j <= i, and at most 1.
    """
    p = np.array(p_values, dtype=float)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    p[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return p.tolist()


def is_equivalent(difference: Difference, margin: float) -> bool:
    """Two one-sided t-tests at 5 %: whether the true difference lies within +-margin."""
    if difference.n < 2:
        return False
    half = stats.t.ppf(LEVEL, difference.n - 1) * difference.sd / math.sqrt(difference.n)
    return bool(abs(difference.mean) + half < margin)


def verdict(
    difference: Difference, p: float, *, higher_is_better: bool, margin: float | None = None
) -> str:
    """The words for a difference and its adjusted p; below `CLAIM` pairs they only lean."""
    if difference.n == 0:
        return "no pairs"
    if difference.n == 1:
        return "one pair"
    if difference.sd == 0:
        return "no difference" if difference.mean == 0 else "no spread"
    better = (difference.mean > 0) == higher_is_better
    if p < ALPHA:
        return f"{'leans ' * (difference.n < CLAIM)}{'better' if better else 'worse'}"
    if difference.n < CLAIM:
        return "unclear"
    if margin is not None and is_equivalent(difference, margin):
        return "equivalent"
    return "no evidence"
